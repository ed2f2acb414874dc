# What a shell of ours knows: sent once, when it starts. POSIX sh with coreutils or busybox; every name starts with _ro_.
# shellcheck shell=sh disable=SC2154

# To mksh printf is a program, whose arguments all users can see, and it reads what follows in another way.
case ${KSH_VERSION-} in
*MIRBSD* | *LEGACY*)
	echo "sh is mksh there ($KSH_VERSION), which rollout cannot use: let sh be dash, bash or busybox" >&2
	exit 1
	;;
esac

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# Some of what programs say is judged by its words, so they say it in English. gettext heeds LANGUAGE before all else, unless
# the locale is C; how letters, numbers and times are read and written stays as it is. Some shells complain of locales that
# are not installed.
if [ -n "${LC_ALL-}" ]; then
	LANG=$LC_ALL
	export LANG
	unset LC_ALL LC_CTYPE LC_NUMERIC LC_TIME LC_COLLATE LC_MONETARY
fi 2>/dev/null
unset LANGUAGE
export LC_MESSAGES=C
_ro_w='' _ro_p='' _ro_q='' _ro_sa=''

# Ends a part on both streams, with the status of the command before. The end of one that printed nothing, and says so by
# _ro_q, is told later: each line that is sent by itself wakes four processes.
_ro_mark() {
	_ro_p="$_ro_p $?"
	if [ -z "$_ro_q" ]; then _ro_flush; fi
	_ro_q=
}

# Tells the ends that were not told yet; before anything is printed.
_ro_flush() {
	if [ -n "$_ro_p" ]; then
		# shellcheck disable=SC2059,SC2086
		printf "\001$_ro_n %s\n" $_ro_p
		# shellcheck disable=SC2059,SC2086
		printf "\001$_ro_n %s\n" $_ro_p >&2
		_ro_p=
	fi
}

# STATUS [TEXT]
_ro_give() {
	[ -z "$2" ] || printf '%s\n' "$2"
	return "$1"
}

# Notes that a part of a row has failed, with its status: those behind it are not done.
_ro_fail() {
	_ro_f=$?
	_ro_unstage
	_ro_staged
	return "$_ro_f"
}

# Whole seconds since some moment, in _ro_t. The kernel's file first: that takes no process.
_ro_now() {
	if read -r _ro_t _ </proc/uptime; then
		_ro_t=${_ro_t%%.*}
	else
		_ro_t=$(date +%s)
	fi 2>/dev/null
}

# A row of effects begins.
_ro_row() {
	_ro_f=0
	_ro_now
	_ro_b=$_ro_t
}

# Whether the row began just now: behind something that takes its time, what follows is not begun.
_ro_soon() {
	_ro_now
	[ "$((_ro_t - _ro_b))" -lt 2 ]
}

# A part that is not wanted; nothing is printed.
_ro_skip() {
	_ro_q=y
	return 1
}

# While a script of someone else runs, nothing is sent to this shell, and its requests' channel (9) says only one thing:
# that the other side is gone. Then the script must not go on by itself.
_ro_watch() {
	if [ "$_ro_c9" = y ] && [ -z "$_ro_w" ]; then
		(
			read -r _ro_g <&9
			trap '' HUP INT TERM
			kill -TERM 0
			sleep 4
			kill -KILL 0
		) >/dev/null 2>&1 &
		_ro_w=$!
	fi
}

# Ends the watch, with the status of the command before.
_ro_unwatch() {
	_ro_u=$?
	if [ -n "$_ro_w" ]; then
		kill "$_ro_w"
		wait "$_ro_w"
	fi 2>/dev/null
	_ro_w=
	return "$_ro_u"
}

# This shell's process group, its own number and when it started; the last is empty where the kernel does not tell.
_ro_hello() {
	if read -r _ro_g </proc/$$/stat; then
		# After the name in parentheses: state, parent, group, and as the 20th the start.
		set -f
		# shellcheck disable=SC2086
		set -- ${_ro_g##*) }
		set +f
		printf '%s %s %s\n' "$3" $$ "${20}"
	else
		printf '%s %s\n' "$(ps -o pgid= -p $$)" $$
	fi 2>/dev/null
}

# PATH...: one line for each that is there.
_ro_stat() {
	LC_ALL=C stat -c '%f:%u:%g:%s:%U:%G:%n' -- "$@"
}

# FILE:NUMBER:NAME for all names of users and groups but the first of a number, with the status of the command before. Looked
# for once, since that takes a process, and few hosts have any.
_ro_twins() {
	_ro_x=$?
	if [ -z "${_ro_tw+set}" ]; then
		_ro_tw=$(awk -F : '{ of = FILENAME ":" $3 } of in seen { print of ":" $1 } { seen[of] = 1 }' /etc/passwd /etc/group 2>/dev/null)
	fi
	_ro_give "$_ro_x" "$_ro_tw"
}

# PATH LINE [HASH]: whether all is as it was: the line of _ro_stat, empty for nothing there, and the hash.
_ro_as() {
	_ro_x=$(_ro_stat "$1" 2>&1)
	if [ -z "$2" ]; then
		case $_ro_x in
		*': No such file or directory' | *': Not a directory') ;;
		*) return 1 ;;
		esac
	elif [ "$_ro_x" != "$2" ]; then
		return 1
	elif [ -n "$3" ]; then
		_ro_x=$(sha256sum <"$1") && [ "${_ro_x%% *}" = "$3" ]
	fi
}

# PATH LIMIT [HASH]: a link's target, or the first LIMIT bytes of a regular file when LIMIT is not 0 and its hash, of
# those told last, is not HASH.
_ro_read() {
	if [ -L "$1" ]; then
		_ro_flush
		readlink "$1"
		return
	elif [ "$2" != 0 ] && [ -f "$1" ]; then
		case "
$_ro_h
" in *"
${3-none}  $1
"*) ;; *)
			_ro_flush
			if _ro_ours "$1"; then head -c "$2" -- "$1"; else _ro_head "$1" "$2"; fi
			return
			;;
		esac
	fi
	_ro_q=y
}

# PATH...: hashes of those that are regular files.
_ro_hash() {
	_ro_c=$#
	while [ "$_ro_c" -gt 0 ]; do
		if [ -f "$1" ] && ! [ -L "$1" ]; then
			set -- "$@" "$1"
		fi
		shift
		_ro_c=$((_ro_c - 1))
	done
	_ro_h=
	[ $# = 0 ] || {
		_ro_h=$(sha256sum -- "$@")
		_ro_give $? "$_ro_h"
	}
}

# FILE...: kernel parameters, one line each. Not by builtins: these files answer a read of single bytes wrongly.
_ro_sysctl() {
	LC_ALL=C grep '' "$@" /dev/null
}

# NAME: state of a kernel module. A module without parameters leaves no trace in /sys when it is built in; file systems
# and bridge filters do elsewhere.
_ro_module() {
	_ro_k=$(printf %s "$1" | tr - _)
	# A name may be an alias of others.
	[ -e "/sys/module/$_ro_k" ] || for _ro_a in $(modprobe -R "$_ro_k" 2>/dev/null); do
		[ ! -e "/sys/module/$_ro_a/initstate" ] || _ro_k=$_ro_a
	done
	if [ -e "/sys/module/$_ro_k/initstate" ]; then
		echo loaded
	elif [ -e "/sys/module/$_ro_k" ] || { [ "$_ro_k" = br_netfilter ] && [ -d /proc/sys/net/bridge ]; } ||
		grep -Eqs "^(nodev)?[[:space:]]+$_ro_k\$" /proc/filesystems ||
		tr - _ <"/lib/modules/$(uname -r)/modules.builtin" 2>/dev/null | grep -q "/$_ro_k\\.ko"; then
		echo builtin
	elif modprobe -n -q "$_ro_k" 2>/dev/null; then
		echo available
	else
		echo absent
	fi
}

# What kind of system this is: one name=value a line. Few processes are started: each costs a small board some ms.
_ro_system() (
	say() { printf '%s=%s\n' "$1" "$2"; }
	first() {
		_ro_l=
		[ ! -r "$1" ] || IFS= read -r _ro_l <"$1"
		printf '%s=%s\n' "$2" "$_ro_l"
	}
	if [ -r /proc/sys/kernel/arch ]; then
		first /proc/sys/kernel/hostname hostname
		first /proc/sys/kernel/arch arch
		first /proc/sys/kernel/osrelease kernel
	else
		names=$(uname -n -r -m)
		say hostname "${names%% *}"
		say arch "${names##* }"
		names=${names#* }
		say kernel "${names%% *}"
	fi
	say cpus "$(nproc 2>/dev/null || grep -c ^processor /proc/cpuinfo)"
	size=
	while IFS=' ' read -r key value _ && [ -z "$size" ]; do
		if [ "$key" = KernelPageSize: ]; then size=$((value * 1024)); fi
	done 2>/dev/null </proc/self/smaps
	say page_size "${size:-$(getconf PAGESIZE)}"
	first /proc/sys/kernel/random/boot_id boot_id
	first /proc/uptime uptime
	first /proc/1/comm init
	user=$(id)
	user=${user#uid=}
	user=${user%% *}
	say uid "${user%%(*}"
	user=${user#*(}
	say user "${user%)}"
	say virtualization "$(systemd-detect-virt 2>/dev/null)"
	if [ -e /proc/device-tree/model ]; then say model "$(tr -d '\000' </proc/device-tree/model)"; fi
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then say cgroup 2; else say cgroup 1; fi
	while IFS=' ' read -r key value _; do
		case $key in
		MemTotal:) say memory_total "$value" ;;
		MemAvailable:) say memory_available "$value" ;;
		SwapTotal:)
			say swap_total "$value"
			break
			;;
		esac
	done </proc/meminfo
	if [ -r /etc/os-release ]; then
		# shellcheck disable=SC1091
		. /etc/os-release
		say os_id "$ID"
		say os_version "$VERSION_ID"
		say os_name "$PRETTY_NAME"
	fi
)

# FILE VALUE: sets a live kernel parameter.
_ro_set() {
	{ printf '%s\n' "$2" >"$1"; } 2>/dev/null && return
	# A builtin does not say why.
	_ro_e=$(printf '%s\n' "$2" | LC_ALL=C tee "$1" 2>&1 >/dev/null)
	printf 'the kernel does not take "%s" for %s: %s\n' "$2" "${1#/proc/sys/}" "${_ro_e##*: }" >&2
	return 1
}

# NAME: loads a kernel module. Where a file in /etc/modprobe.d has it do something else, modprobe ends well all the same.
_ro_load() {
	modprobe -- "$1" || return
	case $(_ro_module "$1") in loaded | builtin) return ;; esac
	echo "modprobe found no fault, but $1 is not loaded: does an \"install\" line in /etc/modprobe.d keep it away?" >&2
	return 1
}
