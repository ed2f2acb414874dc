# What a shell of ours knows: sent once, when it starts. POSIX sh with coreutils or busybox; every name starts with _ro_.
# shellcheck shell=sh disable=SC2154

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
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
			head -c "$2" "$1"
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

# PATH OWNER MODE: sets those that are not empty.
_ro_attributes() {
	if [ -n "$2" ]; then chown -- "$2" "$1" || return; fi
	if [ -n "$3" ]; then chmod -- "$3" "$1" || return; fi
}

# PATH: fails unless a file can be put there by renaming.
_ro_place() {
	_ro_d=${1%/*}
	if [ -d "$1" ] && ! [ -L "$1" ]; then
		printf '%s is a directory\n' "$1" >&2
		return 1
	elif ! [ -d "${_ro_d:-/}" ]; then
		printf 'there is no directory %s\n' "${_ro_d:-/}" >&2
		return 1
	fi
}

# PATH SIZE OWNER MODE BACKUP VALIDATE SHA256 [CONTENT]: puts the content, or what comes on standard input, at a path, all
# of it or nothing. It also tidies up when nobody hears it any more.
_ro_write() (
	_ro_place "$1" || exit
	umask 077
	# Nobody else knows the name, and what has it is not overwritten.
	tmp=${1%/*}/.${1##*/}.${_ro_n%"${_ro_n#????????????}"}
	trap 'trap "" HUP INT TERM PIPE; rm -f -- "$tmp"' EXIT
	trap 'exit 1' HUP INT TERM PIPE
	set -C
	: >"$tmp" || exit
	if [ $# = 8 ]; then
		# That it did not work is all that some shells say; cat says why.
		printf %s "$8" 2>/dev/null >>"$tmp" || printf %s "$8" | cat >|"$tmp" || exit
	else
		cat >>"$tmp" || exit
		size=$(wc -c <"$tmp")
		if [ "$size" -ne "$2" ]; then
			printf 'only %d of %d bytes arrived\n' "$size" "$2" >&2
			exit 1
		fi
	fi
	if [ -n "$7" ]; then
		sum=$(sha256sum <"$tmp") || exit
		if [ "${sum%% *}" != "$7" ]; then
			printf 'other content arrived: sha256 %s instead of %s\n' "${sum%% *}" "$7" >&2
			exit 1
		fi
	fi
	_ro_attributes "$tmp" "$3" "$4" || exit
	if [ -n "$6" ] && ! (eval "$6") </dev/null >&2; then
		printf 'the new content is not valid\n' >&2
		exit 1
	fi
	if [ -n "$5" ] && [ -e "$1" ]; then cp -p -- "$1" "$1.$(date +%Y%m%d-%H%M%S)~" || exit; fi
	sync "$tmp" 2>/dev/null
	if [ -L "$1" ] && [ -d "$1" ]; then rm -f -- "$1" || exit; fi
	mv -f -- "$tmp" "$1" && trap - EXIT
)

# [NUMBER PATH]...: puts the contents _ro_vNUMBER beside their places; the names go to _ro_sNUMBER. What does not work is
# left to _ro_put.
_ro_stage() {
	trap '_ro_unstage; exit 1' HUP INT TERM PIPE
	_ro_sa=$1 _ro_sb=$1
	_ro_l=$#
	while [ "$_ro_l" -gt 0 ]; do
		_ro_x=${2%/*}/.${2##*/}.${_ro_n%"${_ro_n#????????????}"}$1
		eval "_ro_s$1=\$_ro_x"
		_ro_sb=$1
		set -- "$@" "$1" "$_ro_x"
		shift 2
		_ro_l=$((_ro_l - 2))
	done
	(
		umask 077
		# What has the name is not overwritten.
		set -C
		while [ $# -gt 0 ]; do
			if true >"$2"; then eval "printf %s \"\$_ro_v$1\" >|\"\$2\"" || rm -f -- "$2"; fi
			shift 2
		done
	) 2>/dev/null
}

# [MODE OWNER [NUMBER]... .]...: gives what was staged its owner, unless that is empty, and its mode, and brings all of it to
# the disk.
_ro_ready() {
	_ro_y=
	while [ $# -gt 0 ]; do
		_ro_x=$1
		_ro_o=$2
		shift 2
		_ro_z=
		while [ "$1" != . ]; do
			_ro_z="$_ro_z \"\$_ro_s$1\""
			shift
		done
		shift
		if ! { { [ -z "$_ro_o" ] || eval "chown -- \"\$_ro_o\" $_ro_z"; } && eval "chmod -- $_ro_x $_ro_z"; }; then
			_ro_unstage
			return
		fi
		_ro_y="$_ro_y $_ro_z"
	done 2>/dev/null
	eval "sync $_ro_y" 2>/dev/null
}

# NUMBER PATH SIZE MODE OWNER: puts what was staged at its place, or writes it now.
_ro_put() {
	eval "_ro_x=\$_ro_s$1"
	_ro_place "$2" || return
	if [ -n "$_ro_x" ] && [ -e "$_ro_x" ]; then
		if [ -L "$2" ] && [ -d "$2" ]; then rm -f -- "$2" || return; fi
		mv -f -- "$_ro_x" "$2"
	else
		eval "_ro_write \"\$2\" \"\$3\" \"\$5\" \"\$4\" '' '' '' \"\$_ro_v$1\""
	fi
}

# Removes what was staged and is not at its place. The contents stay, so that they can still be written.
_ro_unstage() {
	[ -n "$_ro_sa" ] || return 0
	set --
	_ro_l=$_ro_sa
	while [ "$_ro_l" -le "$_ro_sb" ]; do
		eval "set -- \"\$@\" \"\$_ro_s$_ro_l\""
		_ro_l=$((_ro_l + 1))
	done
	rm -f -- "$@"
}

# Forgets what was staged.
_ro_staged() {
	[ -n "$_ro_sa" ] || return 0
	trap - HUP INT TERM PIPE
	while [ "$_ro_sa" -le "$_ro_sb" ]; do
		unset "_ro_s$_ro_sa" "_ro_v$_ro_sa"
		_ro_sa=$((_ro_sa + 1))
	done
	_ro_sa=
}

# PATH OWNER MODE
_ro_directory() {
	if [ -z "$3" ] || [ -d "$1" ]; then
		mkdir -p -- "$1" && _ro_attributes "$1" "$2" "$3"
	else
		# shellcheck disable=SC2174 # the mode is the last one's alone, as it should be
		mkdir -p -m "$3" -- "$1" && _ro_attributes "$1" "$2" ''
	fi
}

# PATH TARGET: the link is made beside and renamed, so that there is always either the old or the new one.
_ro_link() (
	_ro_place "$1" || exit
	tmp=
	trap 'trap "" HUP INT TERM PIPE; rm -rf -- "$tmp"' EXIT
	trap 'exit 1' HUP INT TERM PIPE
	tmp=$(trap "" HUP INT TERM PIPE; mktemp -d "${1%/*}/.${1##*/}.XXXXXX") || exit
	ln -s -- "$2" "$tmp/link" || exit
	if [ -L "$1" ] && [ -d "$1" ]; then rm -f -- "$1" || exit; fi
	mv -f -- "$tmp/link" "$1"
)

# FILE VALUE: sets a live kernel parameter.
_ro_set() {
	printf '%s\n' "$2" >"$1"
}
