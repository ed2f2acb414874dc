# shellcheck shell=sh disable=SC2154
# $1 folder, $2 commit or tag number when the version is one, $3 repository, $4... references. Prints what the folder holds,
# one `name value` per line, then a line `remote` and the references of the repository.
if [ -e "$1/.git" ] && ! made "$1"; then
	echo "head "
	echo "origin "
elif [ -e "$1/.git" ]; then
	git -C "$1" rev-parse --git-dir >/dev/null || exit
	echo "head $(git -C "$1" rev-parse -q --verify HEAD)"
	echo "origin $(git -C "$1" config --get remote.origin.url)"
	# A tag has a number of its own, which tells its commit only once the tag is here.
	[ -z "$2" ] || echo "means $(git -C "$1" rev-parse -q --verify "$2^{commit}")"
	changes=$(git -C "$1" status --porcelain --untracked-files=no) || exit
	[ -z "$changes" ] || half "$1" || echo "changed yes"
elif [ -d "$1" ]; then
	[ -z "$(ls -A "$1")" ] || echo "taken by other files"
elif [ -e "$1" ]; then
	echo "taken by a file"
fi
echo "remote"
shift 2
[ $# = 1 ] || git ls-remote "$@"
