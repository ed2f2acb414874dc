# shellcheck shell=sh disable=SC2154
# $1 directory, $2 owner as chown takes it. The generated lines behind these functions call them; the files come on standard
# input as a tar archive.
base=$1 owner=$2

# dir PATH MODE: creates a directory, or sets its owner and mode. MODE may be empty.
dir() {
	if [ -n "$2" ] || [ -d "$1" ]; then
		_ro_directory "$1" "$owner" "$2" || exit
	else
		_ro_directory "$1" "$owner" 0755 || exit
	fi
}

# fix PATH MODE: sets owner and mode of a file.
fix() {
	_ro_attributes "$1" "$owner" "$2" || exit
}

# unpack: unpacks standard input in a scratch folder, and stays there.
unpack() {
	_ro_scratch "$base" || exit
	# As file descriptor 3 the scratch folder can be reached from every folder of the tree.
	exec 3<.
	tar -x -o -m -f - || exit
}

# put FOLDER [NUMBER MODE NAME]...: moves unpacked files into FOLDER, under these names and with these modes.
put() {
	folder=$1
	shift
	mkdir ./new || exit
	left=$#
	while [ "$left" -gt 0 ]; do
		mv -- "./$1" "./new/$3" && _ro_change "./new/$3" "$owner" "$2" || exit
		set -- "$@" "/proc/self/fd/3/new/$3"
		shift 3
		left=$((left - 3))
	done
	(_ro_enter "$folder" && mv -f -- "$@" .) && rmdir ./new || exit
}

# drop FOLDER NAME...: deletes what has these names in FOLDER.
drop() {
	(_ro_enter "$1" && shift && _ro_clear "$@") || exit
}
