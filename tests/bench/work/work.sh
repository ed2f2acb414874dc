#!/bin/sh
# The same work as a hand-written script, run as root on a host. With `dry=1` it only prints what would change.
set -eu
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
dry=${dry:-}

say() { echo "changed: $*"; }

# PATH MODE: a directory.
directory() {
    [ "$(stat -c %a "$1" 2>/dev/null)" != "$2" ] || return 0
    say "$1"
    [ "$dry" ] || { mkdir -p "$1" && chmod "$2" "$1"; }
}

# PATH MODE CONTENT: a file, replaced atomically.
file() {
    if printf '%s\n' "$3" | cmp -s - "$1" && [ "$(stat -c %a "$1")" = "$2" ]; then return 0; fi
    say "$1"
    [ "$dry" ] || {
        new=$(mktemp "$1.XXXXXX")
        printf '%s\n' "$3" >"$new"
        chmod "$2" "$new"
        mv "$new" "$1"
    }
}

# PATH PATTERN LINE: replaces the matching line, or appends the line.
line() {
    ! grep -qxF "$3" "$1" || return 0
    say "$1"
    [ "$dry" ] || {
        new=$(mktemp "$1.XXXXXX")
        { grep -v "$2" "$1" || true; echo "$3"; } >"$new"
        chmod 644 "$new"
        mv "$new" "$1"
    }
}

uname -nrm
nproc
head -n 3 /proc/meminfo
# shellcheck disable=SC1091
. /etc/os-release
echo "$PRETTY_NAME $(id -u)"

directory /etc/bench 755
directory /etc/bench/conf.d 755
directory /srv/bench/data 750
file /etc/bench/conf.d/web.conf 644 '# The web server.
listen 0.0.0.0:8080
workers 4
log /var/log/bench/web.log

header_timeout 10s
body_timeout 30s
keep_alive 60s
max_body 16m'
file /etc/bench/conf.d/api.conf 644 '# The API.
listen 127.0.0.1:8081
workers 4
log /var/log/bench/api.log

[limits]
requests = 200
burst = 50
queue = 1000'
file /etc/bench/conf.d/queue.conf 644 '# The queue.
name bench
folder /srv/bench/data
consumers 4

retries 5
retry_after 30s
visibility 120s
dead_letter yes'
file /etc/bench/conf.d/cache.conf 644 '# The cache.
name bench
size 256m
evict lru
threads 4

ttl 300s
stale 60s
compress no'
file /etc/bench/conf.d/log.conf 644 '# Logs.
/var/log/bench/*.log {
    weekly
    rotate 8
    compress
    delaycompress
    missingok
    notifempty
}'
line /etc/hosts ' controller$' '10.78.0.1 controller'
line /etc/environment '^BENCH_HOME=' BENCH_HOME=/srv/bench
line /etc/environment '^BENCH_PORT=' BENCH_PORT=8080
file /etc/sysctl.d/90-bench-network.conf 644 'net.core.somaxconn = 1024
net.ipv4.tcp_syncookies = 1'
file /etc/sysctl.d/91-bench-memory.conf 644 'vm.swappiness = 10'
if ! getent group bench >/dev/null; then
    say group
    [ "$dry" ] || groupadd bench
fi
if ! getent passwd bench >/dev/null; then
    say user
    [ "$dry" ] || useradd -m -g bench -s /bin/sh -d /home/bench bench
fi
if ! [ -e /srv/bench/data/seed ]; then
    say seed
    [ "$dry" ] || date +%s >/srv/bench/data/seed
fi
if ! [ -s /srv/bench/data/index ]; then
    say index
    [ "$dry" ] || ls /etc/bench/conf.d >/srv/bench/data/index
fi
if [ "$(stat -c %U:%G /srv/bench/data/index)" != bench:bench ]; then
    say owner
    [ "$dry" ] || chown -R bench:bench /srv/bench/data
fi
[ -r /etc/bench/conf.d/web.conf ]
id -u bench
