#!/bin/sh
# Becomes one host of a fleet: the first process of its own namespaces, which network.py starts through unshare.
# usage: host.sh bridge | host.sh light|full NAME ADDRESS RATE FIREWALL DIRECTORY
#   bridge  nothing but a network namespace; the cables end in it
#   light   own network, processes and name; the machine's own files
#   full    the same with an own file tree (the machine's, writable without touching the machine) and sshd
# RATE is tc's (100mbit) or none; FIREWALL is drop (lets in nothing but ssh) or none.
# It says its process id on stdout (as the machine sees it), waits for a line on stdin (the cable is plugged in), goes on.
set -eu

read -r pid _ </proc/self/stat # /proc is still the machine's, so this is the outer id
echo "$pid"
read -r _
[ "$1" != bridge ] || exec sleep infinity

kind=$1 name=$2 address=$3 rate=$4 firewall=$5 directory=$6
checkout=$(cd "$(dirname "$0")/../.." && pwd)
hostname "$name"
ip link set lo up
ip address add "$address" dev eth0
ip link set eth0 up
# A larger latency is bufferbloat, which no real link of a data centre shows.
[ "$rate" = none ] || tc qdisc add dev eth0 root tbf rate "$rate" burst 64kb latency 10ms

if [ "$kind" = light ]; then
  mount -t proc proc /proc
  # wait reaps whatever the host's processes leave to their first one
  sleep infinity &
  wait "$!"
fi

# Everything below is seen in this mount namespace only and vanishes with it.
mount -t tmpfs -o mode=0755 fleet "$directory"
cd "$directory"
mkdir upper work root
cp -a ../files/. upper/
echo "$name" >upper/etc/hostname
mount -t overlay -o "lowerdir=/,upperdir=$directory/upper,workdir=$directory/work" overlay root
cd root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount --rbind /dev dev
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=0755 tmpfs run
mkdir -p run/sshd run/lock "./$checkout"
mount --bind -o ro "$checkout" "./$checkout"
if [ "$firewall" = drop ]; then
  chroot . iptables-restore <<'RULES'
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
RULES
fi
exec chroot . /usr/sbin/sshd -D -e -f /etc/ssh/fleet_config
