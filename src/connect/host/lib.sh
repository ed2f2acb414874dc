# Functions for every shell: sent once, when it starts. POSIX sh with coreutils or busybox; every name starts with _ro_.
# shellcheck shell=sh disable=SC2154

# In mksh, printf is a program, so all users can see its arguments; mksh also reads the rest of a script in another way.
case ${KSH_VERSION-} in
*MIRBSD* | *LEGACY*)
	echo "sh is mksh there ($KSH_VERSION), which rollout cannot use: let sh be dash, bash or busybox" >&2
	exit 1
	;;
esac

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# Some messages of programs are parsed, so they have to be in English. gettext prefers LANGUAGE to everything else
# unless the locale is C; letters, numbers and times keep their locale. Some shells complain about locales that are not
# installed.
if [ -n "${LC_ALL-}" ]; then
	LANG=$LC_ALL
	export LANG
	unset LC_ALL LC_CTYPE LC_NUMERIC LC_TIME LC_COLLATE LC_MONETARY
fi 2>/dev/null
unset LANGUAGE
export LC_MESSAGES=C
_ro_w='' _ro_p='' _ro_q='' _ro_sa=''

# Ends a part on both streams, with the exit status of the previous command. The marker of a part that printed nothing
# (_ro_q is set) is delayed: each separate write wakes four processes.
_ro_mark() {
	_ro_p="$_ro_p $?"
	if [ -z "$_ro_q" ]; then _ro_flush; fi
	_ro_q=
}

# Prints the delayed markers; must run before any output.
_ro_flush() {
	if [ -n "$_ro_p" ]; then
		# shellcheck disable=SC2059,SC2086
		printf "\001$_ro_n %s\n" $_ro_p
		# shellcheck disable=SC2059,SC2086
		printf "\001$_ro_n %s\n" $_ro_p >&2
		_ro_p=
	fi
}

# STATUS [TEXT]: prints the text and returns the status.
_ro_give() {
	[ -z "$2" ] || printf '%s\n' "$2"
	return "$1"
}

# Records that a part of a pipeline has failed, with its status: later parts are skipped.
_ro_fail() {
	_ro_f=$?
	_ro_unstage
	_ro_staged
	return "$_ro_f"
}

# Sets _ro_t to seconds since some fixed moment. Reading the kernel's file needs no process.
_ro_now() {
	if read -r _ro_t _ </proc/uptime; then
		_ro_t=${_ro_t%%.*}
	else
		_ro_t=$(date +%s)
	fi 2>/dev/null
}

# Begins a pipeline of effects.
_ro_row() {
	_ro_f=0
	_ro_now
	_ro_b=$_ro_t
}

# Whether the pipeline began less than 2 s ago: after a slow effect, no further one is begun.
_ro_soon() {
	_ro_now
	[ "$((_ro_t - _ro_b))" -lt 2 ]
}

# Skips a part without output.
_ro_skip() {
	_ro_q=y
	return 1
}

# While a user's script runs, nothing is sent to this shell; the requests' channel (9) can only report end of file, when
# the connection is gone. Then the script must be ended.
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

# Ends the watch; keeps the exit status of the previous command.
_ro_unwatch() {
	_ro_u=$?
	if [ -n "$_ro_w" ]; then
		kill "$_ro_w"
		wait "$_ro_w"
	fi 2>/dev/null
	_ro_w=
	return "$_ro_u"
}

# Prints this shell's process group, process id and start time; the last is empty where the kernel does not report it.
_ro_hello() {
	if read -r _ro_g </proc/$$/stat; then
		# After the name in parentheses: state, parent, group; the 20th field is the start time.
		set -f
		# shellcheck disable=SC2086
		set -- ${_ro_g##*) }
		set +f
		printf '%s %s %s\n' "$3" $$ "${20}"
	else
		printf '%s %s\n' "$(ps -o pgid= -p $$)" $$
	fi 2>/dev/null
}

# PATH...: prints one line for each existing file.
_ro_stat() {
	LC_ALL=C stat -c '%f:%u:%g:%s:%U:%G:%n' -- "$@"
}

# Prints FILE:ID:NAME for all names of users and groups but the first of an id; keeps the exit status of the previous
# command. Cached, since the lookup takes a process and few hosts have such names.
_ro_twins() {
	_ro_x=$?
	if [ -z "${_ro_tw+set}" ]; then
		_ro_tw=$(awk -F : '{ of = FILENAME ":" $3 } of in seen { print of ":" $1 } { seen[of] = 1 }' /etc/passwd /etc/group 2>/dev/null)
	fi
	_ro_give "$_ro_x" "$_ro_tw"
}

# PATH LINE [HASH]: whether the file still has this line of _ro_stat (empty: does not exist) and this hash.
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

# PATH LIMIT [HASH]: prints a link's target, or the first LIMIT bytes of a regular file, unless LIMIT is 0 or the last
# _ro_hash found HASH for it.
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

# PATH...: prints the hashes of the regular files among them.
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

# FILE...: prints kernel parameters, one line each. Not by builtins, which read single bytes: these files do not support
# that.
_ro_sysctl() {
	LC_ALL=C grep '' "$@" /dev/null
}

# NAME: prints the state of a kernel module. A built-in module without parameters leaves no trace in /sys; file systems
# and bridge filters leave one elsewhere.
_ro_module() {
	_ro_k=$(printf %s "$1" | tr - _)
	# The name may be an alias of other modules.
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

# Prints facts about the system, one name=value a line. Starts few processes: each takes a small board some ms.
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
	# The builtin does not print why it failed; tee does.
	_ro_e=$(printf '%s\n' "$2" | LC_ALL=C tee "$1" 2>&1 >/dev/null)
	printf 'the kernel does not take "%s" for %s: %s\n' "$2" "${1#/proc/sys/}" "${_ro_e##*: }" >&2
	return 1
}

# NAME: loads a kernel module. modprobe succeeds without loading anything when a file in /etc/modprobe.d says so.
_ro_load() {
	modprobe -- "$1" || return
	case $(_ro_module "$1") in loaded | builtin) return ;; esac
	echo "modprobe found no fault, but $1 is not loaded: does an \"install\" line in /etc/modprobe.d keep it away?" >&2
	return 1
}
