#!/bin/sh
# What plugin_utils/program.py runs on a host: keeps the program there, and calls it.
#
#   run AMD64 ARM64 MODULE ARGUMENTS   call MODULE of the kept program
#   install AMD64 ARM64 FORM PROGRAM   keep PROGRAM, which comes as FORM: gzip or plain
#   use PATH MODULE ARGUMENTS          call MODULE of a program that the host has of its own
#
# AMD64 and ARM64 are the SHA-256 of the programs; ARGUMENTS and PROGRAM are files, - is the standard input.
# The last line of the output is the result of the module (JSON), or one of
#   corvus.murder missing ARCHITECTURE FORM
#   corvus.murder installed
#   corvus.murder error TEXT
# Only double quotes here: the text travels through up to three shells, each of which quotes it again.
set -eu
mask=$(umask)
umask 077
user=$(id -u)

# fail TEXT: reads what is still sent first, so that the sender does not break off before it has read the answer.
fail() {
	if [ "$input" = - ]; then cat >/dev/null; fi
	printf "corvus.murder error %s\n" "$*"
	exit 1
}

# mine PATH: does it belong to this user?
mine() { [ "$(stat -L -c %u "$1" 2>/dev/null)" = "$user" ]; }

# closed DIRECTORY: is it a real directory of this user, and of nobody else?
closed() {
	[ ! -L "$1" ] && [ -d "$1" ] || return 1
	case $(stat -c %u:%a "$1") in "$user":700 | "$user":2700) return 0 ;; *) return 1 ;; esac
}

# is_program FILE: has it the right content?
is_program() {
	sum=$(sha256sum <"$1") && [ "${sum%% *}" = "$digest" ]
}

# kept CACHE: is the program there, untouched by anyone else?
kept() {
	closed "$1" && closed "$1/$digest" && [ -f "$1/$digest/murder" ] && [ ! -L "$1/$digest/murder" ] &&
		is_program "$1/$digest/murder"
}

# prepare CACHE: makes it; fails where it would not be ours alone, or where programs cannot run (noexec).
prepare() {
	mkdir -p "${1%/*}" 2>/dev/null || return 1
	mkdir "$1" 2>/dev/null || :
	[ ! -L "$1" ] && [ -d "$1" ] && mine "$1" && chmod 0700 "$1" || return 1
	# Only what is there and not ours goes: another process may be making it right now.
	if ! mkdir "$1/$digest" 2>/dev/null && ! closed "$1/$digest"; then
		rm -rf "${1:?}/$digest" 2>/dev/null && mkdir "$1/$digest" 2>/dev/null || return 1
	fi
	closed "$1/$digest" || return 1
	probe=$(mktemp -p "$1/$digest") || return 1
	printf "#!/bin/sh\n" >"$probe" && chmod 0700 "$probe" && "$probe" 2>/dev/null && rm -f "$probe" && return 0
	rm -f "$probe"
	return 1
}

# keep CACHE: puts the program there. Another process may do the same at the same time: the rename is atomic.
keep() {
	new=$(mktemp -p "$1/$digest")
	trap "rm -f \"\$new\"" EXIT
	trap "exit 1" HUP INT TERM
	if [ "$form" = gzip ]; then gzip -dc; else cat; fi >"$new" ||
		fail "The program could not be written to $1: is the file system full?"
	is_program "$new" || fail "The program arrived damaged in $1; try again"
	chmod 0700 "$new"
	mv -f "$new" "$1/$digest/murder"
	# Programs of other releases: one that is still used somewhere is simply sent again.
	find "$1" -mindepth 1 -maxdepth 1 -type d -mtime +7 ! -name "$digest" -exec rm -rf {} + 2>/dev/null || :
}

# call PROGRAM: becomes the program; files that it makes for others get the mode they would get without us.
call() {
	umask "$mask"
	exec "$1" "$module" "$input"
}

action=$1
if [ "$action" = use ]; then
	module=$3 input=$4
	if [ ! -f "$2" ] || [ ! -x "$2" ]; then fail "Program $2, named by the variable murder_program, is no program on this host"; fi
	call "$2"
fi

amd64=$2 arm64=$3 module=$4 form=$4 input=$5
machine=$(uname -sm)
case $machine in
"Linux x86_64") architecture=amd64 digest=$amd64 ;;
"Linux aarch64" | "Linux arm64") architecture=arm64 digest=$arm64 ;;
*) fail "The program is built for Linux x86_64 and Linux aarch64; this host is $machine" ;;
esac
command -v sha256sum >/dev/null || fail "The host has no sha256sum, which is needed to verify the program"

# A home that belongs to another user (sudo without -H) is no place for what this user executes.
set -- "/var/tmp/corvus.murder-$user"
case ${XDG_CACHE_HOME:-} in
/*)
	if [ "$action" = install ]; then mkdir -p "$XDG_CACHE_HOME" 2>/dev/null || :; fi
	if mine "$XDG_CACHE_HOME"; then set -- "$XDG_CACHE_HOME/corvus.murder" "$@"; fi
	;;
*) if [ -n "${HOME:-}" ] && mine "$HOME"; then set -- "$HOME/.cache/corvus.murder" "$@"; fi ;;
esac

if [ "$action" = install ]; then
	if [ "$input" != - ]; then exec <"$input"; fi
	for cache in "$@"; do
		if prepare "$cache"; then
			keep "$cache"
			printf "corvus.murder installed\n"
			exit 0
		fi
	done
	fail "No place for the program: none of $* is a directory that belongs to user $user alone and where programs may run"
fi

for cache in "$@"; do
	if kept "$cache"; then call "$cache/$digest/murder"; fi
done
if [ "$input" = - ]; then cat >/dev/null; fi
if command -v gzip >/dev/null; then form=gzip; else form=plain; fi
printf "corvus.murder missing %s %s\n" "$architecture" "$form"
