# Works in folders that other users may alter, without following what they put in the way. POSIX sh with coreutils or
# busybox; every name starts with _ro_.
# shellcheck shell=sh disable=SC2154
#
# A folder is "ours" when it and all its parents belong to root or to the current user, and nobody else may write in
# them: names in it are stable. Anywhere else, whoever may write can replace a file between any two commands, so no
# command may be given such a name to write to, or to set its owner or mode. Instead
# - a folder is entered one path component at a time, and the kernel is asked afterwards whether the name really led
#   there;
# - new files are made in a private folder inside it, which nobody else can enter, and renamed into place from there;
# - an existing file gets a second name in that private folder, by a hard link, before its attributes are set.

_ro_nl='
'
_ro_me='' _ro_safe='' _ro_at=''

# PATH...: sets _ro_own to those of the paths' folders that are ours. One process for all of them.
_ro_survey() {
	_ro_l=$_ro_nl/$_ro_nl
	for _ro_d in "$@"; do
		case $_ro_d in
		*"$_ro_nl"*) continue ;;
		/*) ;;
		*) continue ;;
		esac
		_ro_d=${_ro_d%/*}
		_ro_d=${_ro_d#/}/
		_ro_x=
		while [ -n "$_ro_d" ]; do
			_ro_x=$_ro_x/${_ro_d%%/*}
			_ro_d=${_ro_d#*/}
			case $_ro_l in
			*"$_ro_nl$_ro_x$_ro_nl"*) ;;
			*) _ro_l=$_ro_l$_ro_x$_ro_nl ;;
			esac
		done
	done
	_ro_y=$IFS
	IFS=$_ro_nl
	set -f
	# shellcheck disable=SC2086
	set -- $_ro_l
	_ro_l=$(LC_ALL=C stat -c '%A:%u:%n' -- "$@" 2>/dev/null)
	# shellcheck disable=SC2086
	set -- $_ro_l
	set +f
	IFS=$_ro_y
	# _ro_own: folders in which all names are stable; _ro_l: also sticky folders, in which only our own files keep their
	# names.
	_ro_own=$_ro_nl _ro_l=$_ro_nl
	for _ro_x in "$@"; do
		_ro_d=${_ro_x#*:*:}
		_ro_y=${_ro_d%/*}
		if [ "$_ro_d" != / ]; then
			case $_ro_l in
			*"$_ro_nl${_ro_y:-/}$_ro_nl"*) ;;
			*) continue ;;
			esac
		fi
		case $_ro_x in
		d*:0:*) ;;
		d*) [ -O "$_ro_d" ] || continue ;;
		*) continue ;;
		esac
		case $_ro_x in
		d????-??-?:*) _ro_own=$_ro_own$_ro_d$_ro_nl ;;
		d????????[tT]:*) ;;
		*) continue ;;
		esac
		_ro_l=$_ro_l$_ro_d$_ro_nl
	done
}

# PATH: whether its folder is ours, according to _ro_own.
_ro_is_own() {
	_ro_d=${1%/*}
	case $_ro_own in
	*"$_ro_nl${_ro_d:-/}$_ro_nl"*) ;;
	*) return 1 ;;
	esac
}

# PATH: whether its folder is ours.
_ro_ours() {
	_ro_survey "$1"
	_ro_is_own "$1"
}

# USER: whether the uid is root's or the current user's.
_ro_trusts() {
	[ "$1" = 0 ] || [ "$1" = "$_ro_me" ]
}

# FOLDER [make]: enters the folder for the rest of this shell; sets _ro_safe if it is ours. With `make`, creates missing
# folders.
_ro_enter() {
	_ro_safe=
	if _ro_ours "$1/." && cd -P -- "$1"; then
		_ro_safe=y
		return
	fi
	cd / && _ro_walk "$1" "$2"
}

# PATH [make]: enters a folder from the current one, one path component at a time.
_ro_walk() {
	[ -n "$_ro_me" ] || _ro_me=$(id -u) || return
	_ro_at=$(stat -c '%d:%i' .) || return
	_ro_r=$1/
	_ro_c=0
	while [ -n "$_ro_r" ]; do
		_ro_k=${_ro_r%%/*}
		_ro_r=${_ro_r#*/}
		case $_ro_k in
		'' | .) ;;
		..) cd -P .. && _ro_at=$(stat -c '%d:%i' .) || return ;;
		*)
			if [ -L "./$_ro_k" ]; then
				_ro_follow "$1" || return
			else
				_ro_step "$1" "$2" || return
			fi
			;;
		esac
	done
}

# PATH [make]: enters the folder _ro_k, and checks that it is a child of the previous folder and no link.
_ro_step() {
	if ! [ -e "./$_ro_k" ]; then
		if [ -z "$2" ]; then
			printf 'there is no directory %s\n' "$1" >&2
			return 1
		fi
		mkdir -- "./$_ro_k" || [ -d "./$_ro_k" ] || return
	fi
	if ! cd -P "./$_ro_k" 2>/dev/null; then
		printf '%s: %s is no directory that can be entered\n' "$1" "$_ro_k" >&2
		return 1
	fi
	_ro_x=$(stat -c '%d:%i' . .. "../$_ro_k" 2>/dev/null)
	_ro_y=${_ro_x%%"$_ro_nl"*}
	if [ "$_ro_x" != "$_ro_y$_ro_nl$_ro_at$_ro_nl$_ro_y" ]; then
		printf '%s: somebody replaced %s while it was entered\n' "$1" "$_ro_k" >&2
		return 1
	fi
	_ro_at=$_ro_y
}

# PATH: follows the link _ro_k. A link that only root or the current user can alter is read, so that the folders on its
# path are checked too. A user's link in a folder of the same user may lead to a folder of that user, and nowhere else.
_ro_follow() {
	_ro_x=$(LC_ALL=C stat -c '%A:%u' . "./$_ro_k") || return
	_ro_y=${_ro_x##*:}
	_ro_x=${_ro_x%%"$_ro_nl"*}
	_ro_u=${_ro_x#*:}
	case $_ro_x in
	d????-??-?:* | d????????[tT]:*)
		if _ro_trusts "$_ro_u" && _ro_trusts "$_ro_y"; then
			_ro_x=$(readlink -- "./$_ro_k") || return
			_ro_c=$((_ro_c + 1))
			if [ "$_ro_c" -gt 40 ]; then
				printf '%s: there are too many links\n' "$1" >&2
				return 1
			fi
			case $_ro_x in
			/*) cd / && _ro_at=$(stat -c '%d:%i' .) || return ;;
			esac
			_ro_r=$_ro_x/$_ro_r
			return
		fi
		;;
	esac
	if ! _ro_trusts "$_ro_u" && cd -P "./$_ro_k" 2>/dev/null; then
		_ro_x=$(stat -c '%u %d:%i' .) || return
		_ro_at=${_ro_x#* }
		[ "${_ro_x%% *}" != "$_ro_u" ] || return 0
	fi
	printf '%s: %s is a link that somebody else may lead elsewhere\n' "$1" "$_ro_k" >&2
	return 1
}

# FOLDER [make]: enters a new private folder inside it, see _ro_scratch_here.
_ro_scratch() {
	_ro_enter "$@" && _ro_scratch_here
}

# Enters a new private folder inside the current one for the rest of this shell; it is removed at the shell's end. Files
# in it are put into place by `mv -f -- ./NAME ..`: mv follows no link when its target is a folder. _ro_mask holds the
# previous umask.
_ro_scratch_here() {
	_ro_mask=$(umask)
	umask 077
	_ro_tmp='' _ro_in=''
	trap '_ro_unscratch' EXIT
	trap 'exit 1' HUP INT TERM PIPE
	# Neither making nor removing the folder is interrupted by a signal to the process group.
	_ro_tmp=$(trap "" HUP INT TERM PIPE; mktemp -d ./.rollout.XXXXXX) && cd -P "$_ro_tmp" || return
	if [ -n "$_ro_safe" ] || _ro_alone; then
		_ro_in=y
		return
	fi
	# The current folder may be anywhere.
	rmdir -- "../$_ro_tmp" 2>/dev/null
	_ro_tmp=
	cd /
	printf 'somebody replaced a folder of ours while it was made, or its file system keeps no owners\n' >&2
	return 1
}

# Whether the current folder is ours alone, empty, and inside the folder that was entered before.
_ro_alone() {
	for _ro_x in ./* ./.[!.]* ./..?*; do
		if [ -e "$_ro_x" ] || [ -L "$_ro_x" ]; then return 1; fi
	done
	_ro_x=$(LC_ALL=C stat -c '%d:%i:%A:%u' . ..) || return
	case ${_ro_x#*"$_ro_nl"} in
	"$_ro_at":*) ;;
	*) return 1 ;;
	esac
	case ${_ro_x%%"$_ro_nl"*} in
	*:drwx--[-S]---:"$_ro_me") ;;
	*) _ro_linkless ;;
	esac
}

# Whether the file system supports neither links nor owners.
_ro_linkless() {
	case $(stat -f -c %T . 2>/dev/null) in
	msdos | vfat | exfat) ;;
	*) return 1 ;;
	esac
}

_ro_unscratch() {
	trap '' HUP INT TERM PIPE
	if [ -n "$_ro_in" ]; then
		rmdir -- "../$_ro_tmp" || { rm -rf -- ./* ./.[!.]* ./..?* && rmdir -- "../$_ro_tmp"; }
	elif [ -n "$_ro_tmp" ]; then
		# A signal may have arrived before the private folder was entered.
		rmdir -- "$_ro_tmp" || rmdir -- "../$_ro_tmp"
	fi 2>/dev/null
}

# PATH OWNER MODE: sets owner and mode unless empty; nobody else may be able to replace the file.
_ro_change() {
	if [ -n "$2" ]; then chown -h -- "$2" "$1" || return; fi
	if [ -n "$3" ]; then chmod -- "$3" "$1" || return; fi
}

# PATH OWNER MODE: sets owner and mode unless empty; follows no link.
_ro_attributes() (
	if _ro_ours "$1"; then
		if [ -L "$1" ]; then
			printf '%s is a link\n' "$1" >&2
			exit 1
		fi
		_ro_change "$@"
		exit
	fi
	_ro_enter "${1%/*}/" || exit
	_ro_k=${1##*/}
	if [ -d "./$_ro_k" ] && ! [ -L "./$_ro_k" ]; then
		_ro_step "$1" && _ro_change . "$2" "$3"
		exit
	elif _ro_linkless; then
		_ro_change "./$_ro_k" "$2" "$3"
		exit
	fi
	_ro_scratch_here && ln -- "../$_ro_k" . || exit
	if [ -L "./$_ro_k" ]; then
		printf '%s is a link\n' "$1" >&2
		exit 1
	elif [ "$(stat -c %h "./$_ro_k")" != 2 ]; then
		printf '%s has further names, where somebody else may have given it this one\n' "$1" >&2
		exit 1
	fi
	_ro_change "./$_ro_k" "$2" "$3"
)

# PATH OWNER MODE: makes a directory and its missing parents.
_ro_directory() (
	_ro_r=$1
	_ro_survey "$1/."
	while ! [ -e "$_ro_r" ] && ! [ -L "$_ro_r" ] && [ -n "$_ro_r" ]; do _ro_r=${_ro_r%/*}; done
	# New folders in a folder of ours are ours; an existing folder's name must be stable.
	if [ "$_ro_r" != "$1" ]; then _ro_r=$_ro_r/.; fi
	if _ro_is_own "$_ro_r" && ! [ -L "$1" ]; then
		if [ -z "$3" ] || [ -d "$1" ]; then
			mkdir -p -- "$1" && _ro_change "$1" "$2" "$3"
		else
			# shellcheck disable=SC2174 # the mode is the last one's alone, as it should be
			mkdir -p -m "$3" -- "$1" && _ro_change "$1" "$2" ''
		fi
		exit
	fi
	_ro_enter "${1%/*}/" make || exit
	if [ -n "$3" ]; then umask 077; fi
	_ro_walk "${1##*/}" make && _ro_change . "$2" "$3"
)

# PATH LIMIT: prints the first LIMIT bytes of a regular file whose name others may replace. The file is opened once; the
# kernel's path of the open file proves which file it is.
_ro_head() (
	_ro_enter "${1%/*}/" || exit
	_ro_k=${1##*/}
	exec <"./$_ro_k" || exit
	if ! [ -e /proc/self/fd/0 ]; then
		printf '%s: it cannot be read safely where there is no /proc\n' "$1" >&2
		exit 1
	elif [ "$(readlink /proc/self/fd/0)" != "$(readlink /proc/self/cwd)/$_ro_k" ]; then
		printf '%s: somebody replaced it while it was read\n' "$1" >&2
		exit 1
	elif [ "$(stat -L -c %h /proc/self/fd/0)" != 1 ]; then
		printf '%s has further names, where somebody else may have given it this one\n' "$1" >&2
		exit 1
	fi
	head -c "$2"
)

# NAME...: removes these from the current folder, recursively.
_ro_clear() (
	if [ -n "$_ro_safe" ]; then
		_ro_c=$#
		while [ "$_ro_c" -gt 0 ]; do
			set -- "$@" "./$1"
			shift
			_ro_c=$((_ro_c - 1))
		done
		rm -rf -- "$@"
		exit
	fi
	_ro_scratch_here || exit
	_ro_f=0
	for _ro_k in "$@"; do
		if ! [ -e "../$_ro_k" ] && ! [ -L "../$_ro_k" ]; then continue; fi
		# Moved into the private folder first, where nobody can replace names in it during the removal.
		if ! { mv -- "../$_ro_k" . && rm -rf -- "./$_ro_k"; }; then
			_ro_f=1
			if [ -e "./$_ro_k" ]; then mv -- "./$_ro_k" ..; fi
		fi
	done
	exit "$_ro_f"
)

# PATH: removes it recursively.
_ro_remove() (
	if _ro_ours "$1"; then
		rm -rf -- "$1"
		exit
	fi
	# If its folder does not exist, there is nothing to remove.
	[ -d "${1%/*}/" ] || exit 0
	_ro_enter "${1%/*}/" && _ro_clear "${1##*/}"
)
