# Builds, shows and tests corvus.murder. A target installs what it needs and nothing else: Debian packages only where
# their commands are missing, Python packages into .venv/, everything else into build/.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
STATICCHECK := v0.8.2
VERSION = $(shell sed -n 's/^version: *//p' galaxy.yml)
PARTS := lint unit go sanity integration e2e interop

.PHONY: help build demo test lint bench bench-quick collection clean $(PARTS:%=test-%) $(PARTS:%=ready-%) test-selinux ready-selinux

help: ## say what each target does
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

# ---- the program ----------------------------------------------------------------------------------------------------

SOURCES := $(shell find go-modules -type f ! -name '*_test.go' ! -path '*/testdata/*') galaxy.yml
PROGRAMS := plugins/programs
RAW := build/programs/murder_linux_amd64 build/programs/murder_linux_arm64
SENT := $(PROGRAMS)/murder_linux_amd64.gz $(PROGRAMS)/murder_linux_arm64.gz $(PROGRAMS)/SHA256SUMS
LINKS := $(addprefix plugins/modules/murder_,tracker seed peer info)
CHECKOUT := build/ansible_collections/corvus/murder

build: $(SENT) $(LINKS) $(CHECKOUT) ## the program for amd64 and arm64 and the modules under plugins/ (needs Go)

# Inlining (-l: none) buys nothing in what is not hot: HTTP and TLS (trackers), printing, logs, patterns,
# profiles, options, records, archives, starting, times, paths. It would cost 600 KB that every host would be sent.
PLAIN := net/http/... net/textproto net/url crypto/... vendor/... math/big encoding/asn1 mime/... regexp/... fmt log/slog \
	os/exec os/user encoding/json runtime/pprof text/... lukechampine.com/... corvus.murder/internal/ansible \
	archive/... net corvus.murder/internal/announce corvus.murder/internal/archive corvus.murder/internal/artifact \
	corvus.murder/internal/daemon corvus.murder/internal/module corvus.murder/internal/tracker reflect strings strconv os io/... path/... time sort slices \
	encoding/... net/netip bufio bytes context maps hash/... container/... unicode/... golang.org/... github.com/anacrolix/... \
	github.com/klauspost/cpuid/...
SLIM := -tags nethttpomithttp2 $(PLAIN:%=-gcflags=%=-l)

build/programs/murder_linux_%: $(SOURCES) Makefile
	@cd go-modules && go list -m >/dev/null || { echo 'Go is missing, or older than 1.26: install Go 1.26 or newer' >&2; exit 1; }
	cd go-modules && CGO_ENABLED=0 GOOS=linux GOARCH=$* go build -trimpath -buildvcs=false $(SLIM) \
		-ldflags '-s -w -X corvus.murder/internal/module.Version=$(VERSION)' -o ../$@ ./cmd/murder

$(PROGRAMS)/murder_linux_amd64: build/programs/murder_linux_amd64
	install -D -m 0755 $< $@

$(PROGRAMS)/murder_linux_%.gz: build/programs/murder_linux_%
	@mkdir -p $(@D)
	gzip -9 --no-name --stdout $< >$@

$(PROGRAMS)/SHA256SUMS: $(RAW)
	@mkdir -p $(@D)
	cd build/programs && sha256sum $(notdir $(RAW)) >../../$@.part
	@mv $@.part $@

$(LINKS): | $(PROGRAMS)/murder_linux_amd64
	ln -sfn ../programs/murder_linux_amd64 $@

# Ansible finds the checkout as the collection corvus.murder through this link (collections_path in ansible.cfg).
$(CHECKOUT):
	@mkdir -p $(@D)
	ln -sfn ../../.. $@

# ---- what is needed on the way --------------------------------------------------------------------------------------

REQUIREMENTS := requirements-dev.txt

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || tests/tools/need python3-venv=python3-venv
	$(PYTHON) -m venv .venv

.venv/ansible: $(REQUIREMENTS) | .venv/bin/pip
	.venv/bin/pip install --quiet --disable-pip-version-check --constraint $< ansible-core
	@touch $@

.venv/tools: $(REQUIREMENTS) | .venv/bin/pip
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@ .venv/ansible

build/bin/staticcheck-$(STATICCHECK):
	GOBIN=$(CURDIR)/build/bin go install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK)
	@touch $@

ready-lint: build .venv/tools build/bin/staticcheck-$(STATICCHECK)
	@tests/tools/need shellcheck=shellcheck

# Only root can mount a filesystem, and the test that does so is skipped otherwise.
ready-go:
	@tests/tools/need gcc=gcc,libc6-dev $$([ "$$(id -u)" -ne 0 ] || echo mkfs.btrfs=btrfs-progs)

ready-unit ready-sanity: build .venv/tools
	@tests/tools/need git=git

# Archives are packed by the programs that their users have.
PACKERS := zstd=zstd zip=zip

ready-integration: build .venv/tools
	@tests/tools/need git=git $(PACKERS)

FLEET := sshd=openssh-server ssh=openssh-client iptables=iptables ip=iproute2 sudo=sudo setpriv=util-linux ps=procps

# The tests on a fleet are skipped without root, and then need nothing.
ready-e2e: collection .venv/tools
	@tests/tools/need $(PACKERS)
	@[ "$$(id -u)" -ne 0 ] || tests/tools/need $(FLEET)

ready-interop: build .venv/tools
	@[ "$$(id -u)" -ne 0 ] || tests/tools/need $(FLEET) opentracker=opentracker aria2c=aria2 transmission-cli=transmission-cli \
		import:libtorrent=python3-libtorrent mktorrent=mktorrent

# A Debian with SELinux, for a virtual machine.
build/selinux/disk: tests/selinux/image tests/selinux/init
	@tests/tools/need mmdebstrap=mmdebstrap mkfs.ext4=e2fsprogs
	tests/selinux/image $(@D)

ready-selinux: build .venv/ansible build/selinux/disk
	@tests/tools/need qemu-system-x86_64=qemu-system-x86

# ---- see it, test it, ship it ---------------------------------------------------------------------------------------

demo: build .venv/ansible ## deploy a file and a tree to 8 hosts on this machine; no root, no ssh, nothing stays
	@$(PYTHON) tests/demo/demo

test: $(PARTS:%=ready-%) ## every test there is (as root also those on a fleet of ssh hosts)
	@$(PYTHON) tests/tools/run $(PARTS)

lint: test-lint ## the linters only; test-unit, -go, -sanity, -integration, -e2e, -interop are the other parts of test

$(PARTS:%=test-%) test-selinux: test-%: ready-%
	@$(PYTHON) tests/tools/run $*

bench: build .venv/ansible ## measure ours and every rival on one rig, about 100 minutes, results in docs/benchmarks/ (root)
	@tests/bench/ready
	@$(PYTHON) tests/bench/bench full

bench-quick: build .venv/ansible ## measure ours, a relay chain and libtorrent once, in a minute or two (root)
	@tests/bench/ready
	@$(PYTHON) tests/bench/bench quick

collection: build .venv/ansible ## the tarball for Galaxy and private hubs, in build/
	@tests/tools/collection

clean: ## remove all that was made here
	rm -rf build .venv $(PROGRAMS) $(LINKS)
