# Writes files and links atomically, see place.sh. POSIX sh with coreutils or busybox.
# shellcheck shell=sh disable=SC2154

# PATH: fails unless a file can be renamed to it.
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

# PATH: prepares writing a file, for the rest of this shell: sets tmp to its temporary name and old to its present one.
_ro_beside() {
	_ro_place "$1" || return
	if ! _ro_ours "$1"; then
		_ro_scratch "${1%/*}/" || return
		tmp=./${1##*/} old=../${1##*/}
		return
	fi
	_ro_safe=y
	umask 077
	# Nobody else knows the name, and an existing file of that name is not overwritten.
	tmp=${1%/*}/.${1##*/}.${_ro_n%"${_ro_n#????????????}"} old=$1
	trap 'trap "" HUP INT TERM PIPE; rm -f -- "$tmp" "$tmp.old"' EXIT
	trap 'exit 1' HUP INT TERM PIPE
}

# Makes a hard link to old beside it, with the time in its name; never overwrites.
_ro_backup() {
	if ! [ -e "$old" ]; then return; fi
	_ro_x=.$(date +%Y%m%d-%H%M%S)
	_ro_y=$_ro_x~
	_ro_c=1
	while [ -e "$old$_ro_y" ] || [ -L "$old$_ro_y" ]; do
		_ro_c=$((_ro_c + 1))
		_ro_y=$_ro_x-$_ro_c~
	done
	if [ -n "$_ro_safe" ]; then
		# Without hard links, a copy; also of a mount point, which is written in place.
		ln -- "$old" "$old$_ro_y" 2>/dev/null || { : >"$old$_ro_y" && cp -p -- "$old" "$old$_ro_y"; }
	else
		mkdir "$tmp.kept" && ln -- "$old" "$tmp.kept/$tmp$_ro_y" || return
		if [ -L "$tmp.kept/$tmp$_ro_y" ]; then
			printf '%s is a link\n' "${tmp#./}" >&2
			return 1
		fi
		ln -- "$tmp.kept/$tmp$_ro_y" ..
	fi
}

# PATH: whether the file is a mount point itself, as in containers: nothing can be renamed over it.
_ro_is_mounted() {
	_ro_d=${1%/*}
	_ro_x=$(cd -P -- "${_ro_d:-/}" && pwd -P)
	_ro_x=${_ro_x%/}/${1##*/}
	while read -r _ _ _ _ _ro_y _; do
		if [ "$_ro_y" = "$_ro_x" ]; then return; fi
	done </proc/self/mountinfo
	return 1
} 2>/dev/null

# PATH OWNER MODE: writes the content of tmp into the existing file; restores the old content on failure.
_ro_over() {
	cat -- "$1" >"$tmp.old" || return
	_ro_change "$1" "$2" "$3" || return
	if cat -- "$tmp" >|"$1"; then
		sync "$1" 2>/dev/null
		return 0
	fi
	cat -- "$tmp.old" >|"$1"
	return 1
}

# PATH SIZE OWNER MODE BACKUP VALIDATE SHA256 [CONTENT]: writes the content, or standard input, to a path atomically.
# Removes temporary files also when nobody reads the output any more.
_ro_write() (
	_ro_beside "$1" || exit
	set -C
	: >"$tmp" || exit
	if [ $# = 8 ]; then
		# Some shells do not print why printf failed; cat does.
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
	_ro_change "$tmp" "$3" "$4" || exit
	# The name for the validation. Nobody else can make a path relative to the working directory lead to another file.
	valid=$tmp
	# shellcheck disable=SC2034
	if [ -z "$_ro_safe" ]; then valid=/proc/self/cwd/${tmp#./}; fi
	if [ -n "$6" ] && ! (eval "$6") </dev/null >&2; then
		printf 'the new content is not valid\n' >&2
		exit 1
	fi
	if [ -n "$5" ]; then _ro_backup || exit; fi
	sync "$tmp" 2>/dev/null
	if [ -z "$_ro_safe" ]; then
		mv -f -- "$tmp" ..
		exit
	fi
	if [ -L "$1" ] && [ -d "$1" ]; then rm -f -- "$1" || exit; fi
	if _ro_x=$(mv -f -- "$tmp" "$1" 2>&1); then
		trap - EXIT
	elif _ro_is_mounted "$1"; then
		_ro_over "$1" "$3" "$4"
	else
		printf '%s\n' "$_ro_x" >&2
		exit 1
	fi
)

# [NUMBER PATH]...: writes the contents _ro_vNUMBER to temporary files beside the paths whose folders are ours; sets
# _ro_sNUMBER to the names. Failures are left to _ro_put.
_ro_stage() {
	trap '_ro_unstage; exit 1' HUP INT TERM PIPE
	_ro_survey "$@"
	_ro_sa=$1 _ro_sb=$1
	_ro_l=$#
	while [ "$_ro_l" -gt 0 ]; do
		if _ro_is_own "$2"; then
			_ro_x=${2%/*}/.${2##*/}.${_ro_n%"${_ro_n#????????????}"}$1
			eval "_ro_s$1=\$_ro_x"
			set -- "$@" "$1" "$_ro_x"
		fi
		_ro_sb=$1
		shift 2
		_ro_l=$((_ro_l - 2))
	done
	(
		umask 077
		# noclobber: an existing file of that name is not overwritten.
		set -C
		while [ $# -gt 0 ]; do
			if true >"$2"; then eval "printf %s \"\$_ro_v$1\" >|\"\$2\"" || rm -f -- "$2"; fi
			shift 2
		done
	) 2>/dev/null
}

# [MODE OWNER [NUMBER]... .]...: sets owner (unless empty) and mode of staged files, and syncs all of them to disk.
_ro_ready() {
	_ro_y=
	while [ $# -gt 0 ]; do
		_ro_x=$1
		_ro_o=$2
		shift 2
		_ro_z=
		while [ "$1" != . ]; do
			if eval "[ -n \"\$_ro_s$1\" ]"; then _ro_z="$_ro_z \"\$_ro_s$1\""; fi
			shift
		done
		shift
		[ -n "$_ro_z" ] || continue
		if ! { { [ -z "$_ro_o" ] || eval "chown -- \"\$_ro_o\" $_ro_z"; } && eval "chmod -- $_ro_x $_ro_z"; }; then
			_ro_unstage
			return
		fi
		_ro_y="$_ro_y $_ro_z"
	done 2>/dev/null
	[ -z "$_ro_y" ] || eval "sync $_ro_y" 2>/dev/null
}

# NUMBER PATH SIZE MODE OWNER: renames a staged file to its path, or writes it now if it was not staged.
_ro_put() {
	eval "_ro_x=\$_ro_s$1"
	_ro_place "$2" || return
	if [ -n "$_ro_x" ] && [ -e "$_ro_x" ]; then
		if [ -L "$2" ] && [ -d "$2" ]; then rm -f -- "$2" || return; fi
		mv -f -- "$_ro_x" "$2" 2>/dev/null && return
		rm -f -- "$_ro_x"
	fi
	eval "_ro_write \"\$2\" \"\$3\" \"\$5\" \"\$4\" '' '' '' \"\$_ro_v$1\""
}

# Removes staged files that were not renamed to their paths. Their contents stay in variables and can still be written.
_ro_unstage() {
	[ -n "$_ro_sa" ] || return 0
	set --
	_ro_l=$_ro_sa
	while [ "$_ro_l" -le "$_ro_sb" ]; do
		eval "[ -z \"\$_ro_s$_ro_l\" ] || set -- \"\$@\" \"\$_ro_s$_ro_l\""
		_ro_l=$((_ro_l + 1))
	done
	rm -f -- "$@"
}

# Forgets all staged files and contents.
_ro_staged() {
	[ -n "$_ro_sa" ] || return 0
	trap - HUP INT TERM PIPE
	while [ "$_ro_sa" -le "$_ro_sb" ]; do
		unset "_ro_s$_ro_sa" "_ro_v$_ro_sa"
		_ro_sa=$((_ro_sa + 1))
	done
	_ro_sa=
}

# PATH TARGET: creates the link under another name and renames it, so that there is always either the old or the new
# one.
_ro_link() (
	_ro_place "$1" && _ro_scratch "${1%/*}/" && ln -s -- "$2" "./${1##*/}" && mv -f -- "./${1##*/}" ..
)
