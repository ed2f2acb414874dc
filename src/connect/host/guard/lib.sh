# Functions for guards: sent with each request about one. POSIX sh with coreutils or busybox.
# shellcheck shell=sh disable=SC2154
#
# A guard is a folder: the saved files, the timer that restores them, and a mark for its phase, with the guard's token
# in its name: armed, restoring, restored, off. Whoever renames the mark first wins, so that nothing is both confirmed
# and restored.

# Each user has at most one guard: no user can restore what another one has changed.
_ro_gd=${HOME:-/root}/.rollout-guard

# Whether the process that waits or restores is running; sets _ro_gp to its id.
_ro_guard_alive() {
	_ro_gp=
	{ read -r _ro_gp _ro_gs <pid && read -r _ro_gl <"/proc/$_ro_gp/stat"; } 2>/dev/null || return
	set -f
	# After the name in parentheses: state, parent, group; the 20th field is the start time.
	# shellcheck disable=SC2086
	set -- ${_ro_gl##*) }
	set +f
	[ "${20}" = "$_ro_gs" ] && [ "$1" != Z ]
}

# Prints the state: `none`, or a line of mark, token, seconds left, whether the process is running, exit status of the
# activation; then the unit; then the log.
_ro_guard_look() (
	cd "$_ro_gd" 2>/dev/null || { echo none; exit 0; }
	# The mark may be renamed between the listing and the test, at most three times.
	for _ in 1 2 3 4; do
		for mark in armed.* restoring.* restored.*; do
			test -e "$mark" || continue
			alive=no
			left=0
			if _ro_guard_alive; then
				alive=yes
				read -r now _ </proc/uptime
				left=$(($(cat until) - ${now%.*}))
			fi
			printf '%s %s %s %s %s\n' "${mark%%.*}" "${mark#*.}" "$left" "$alive" "$(cat applied 2>/dev/null || echo -)"
			cat unit
			if [ "${mark%%.*}" = restored ]; then cat log; else tail -n 10 said 2>/dev/null; fi
			exit 0
		done
	done
	echo none
)

# SECONDS TOKEN: starts the process that waits and then restores. It must outlive this shell and its connection.
_ro_guard_start() {
	rm -f pid
	if ! { [ -d /run/systemd/system ] && [ "$(id -u)" = 0 ] &&
		systemd-run --quiet --collect sh "$_ro_gd/timer" "$_ro_gd" "$1" "$2" 9<&-; } </dev/null >/dev/null 2>&1; then
		setsid sh "$_ro_gd/timer" "$_ro_gd" "$1" "$2" </dev/null >/dev/null 2>&1 9<&- &
	fi
	tries=0
	until [ -e pid ] || [ "$tries" -ge 100 ]; do
		tries=$((tries + 1))
		sleep 0.1
	done
	[ -e pid ]
}

# TOKEN SECONDS UNIT RESTORE TIMER: sets up the guard. RESTORE runs after everything is restored; TIMER is the timer's
# script.
_ro_guard_arm() (
	umask 077
	if [ "$(_ro_guard_look)" != none ]; then
		printf 'there is a guard already in %s\n' "$_ro_gd" >&2
		exit 1
	elif ! command -v setsid >/dev/null; then
		echo 'there is no setsid, without which nothing here outlives a connection' >&2
		exit 1
	fi
	rm -rf -- "$_ro_gd"
	mkdir -- "$_ro_gd" && cd "$_ro_gd" || exit
	trap 'rm -rf -- "$_ro_gd"' EXIT
	mkdir kept && printf '%s\n' "$3" >unit && printf '%s\n' "$4" >restore && printf '%s\n' "$5" >timer || exit
	read -r now _ </proc/uptime
	echo $((${now%.*} + $2)) >until || exit
	: >"armed.$1" || exit
	sync -- * . 2>/dev/null
	if ! _ro_guard_start "$2" "$1"; then
		echo 'the process that is to put things back does not start' >&2
		exit 1
	fi
	trap - EXIT
)

# KIND PATH: saves the present state. `whole`: the file or folder; `attributes`: mode and owner; `live`: a value below
# /proc.
_ro_guard_keep() {
	if [ "$1" = attributes ] && ! [ -e "$2" ] && ! [ -e "${2%/*}/" ]; then
		# Making a folder makes its missing parents too.
		_ro_guard_keep attributes "${2%/*}" || return
	fi
	rm -rf new && mkdir new && printf '%s\n' "$1" >new/kind && printf '%s\n' "$2" >new/path || return
	if [ -e "$2" ] || [ -L "$2" ]; then
		case $1 in
		whole) (_ro_to=$PWD && _ro_enter "${2%/*}/" && cp -a -- "./${2##*/}" "$_ro_to/new/what") || return ;;
		attributes) stat -L -c '%u:%g %a' -- "$2" >new/what || return ;;
		live) cat -- "$2" >new/what || return ;;
		esac
	fi
	tries=1
	while [ -e "kept/$tries" ]; do tries=$((tries + 1)); done
	find new -exec sync {} + 2>/dev/null
	mv new "kept/$tries"
}

# TOKEN [KIND PATH]...: saves all these, if the guard is armed.
_ro_guard_hold() (
	umask 077
	token=$1
	shift
	if ! cd "$_ro_gd" 2>/dev/null || ! [ -e "armed.$token" ]; then
		echo 'its time was over before the change was made' >&2
		exit 1
	fi
	while [ $# -gt 0 ]; do
		_ro_guard_keep "$1" "$2" || exit
		shift 2
	done
)

# TOKEN: fails if the guard's time ran out meanwhile. The change may have been made after the restore, so restores
# again.
_ro_guard_held() (
	cd "$_ro_gd" 2>/dev/null && [ -e "armed.$1" ] && exit 0
	tries=0
	while _ro_guard_alive && [ "$tries" -lt 300 ]; do
		tries=$((tries + 1))
		sleep 0.1
	done
	mv "restored.$1" "restoring.$1" && _ro_guard_restore "$1"
	echo 'its time was over while the change was made' >&2
	exit 1
)

# TOKEN COMMAND: activates the change; goes on even if that cuts the connection. Waits a few seconds for its end.
_ro_guard_apply() (
	umask 077
	cd "$_ro_gd" && [ -e "armed.$1" ] && printf '%s\n' "$2" >apply && rm -f applied || exit
	# shellcheck disable=SC2016
	setsid sh -c 'echo $$ >applying && cd / && umask 022 && sh "$1/apply" >"$1/said" 2>&1
		echo $? >"$1/status" && mv "$1/status" "$1/applied"' sh "$_ro_gd" </dev/null >/dev/null 2>&1 9<&- &
	tries=0
	until [ -e applied ] || ! [ -e "armed.$1" ] || [ "$tries" -ge 50 ]; do
		tries=$((tries + 1))
		sleep 0.1
	done
)

# TOKEN: starts restoring now, unless that is under way.
_ro_guard_restore() (
	cd "$_ro_gd" || exit
	if mv "armed.$1" "restoring.$1" 2>/dev/null; then
		if _ro_guard_alive; then kill -s TERM -- "-$_ro_gp" 2>/dev/null; fi
	elif _ro_guard_alive || [ -e "restored.$1" ]; then
		exit 0
	fi
	mv "restoring.$1" "armed.$1" && _ro_guard_start 0 "$1"
)

# MARK TOKEN: removes the guard, if it is in that phase.
_ro_guard_off() (
	cd "$_ro_gd" && mv "$1.$2" "off.$2" || exit
	if _ro_guard_alive; then kill -s TERM -- "-$_ro_gp" 2>/dev/null; fi
	cd / && rm -rf -- "$_ro_gd"
)
