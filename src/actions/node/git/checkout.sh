# shellcheck shell=sh disable=SC2154
# $1 folder, $2 repository, $3 commit, $4 depth, $5 `--force` when local changes are dropped. Works in separate steps instead
# of a clone, so that an interrupted run can be continued.
busy() {
	[ -r /proc/self/stat ] || return 0
	for process in /proc/[0-9]*/stat; do
		read -r _ name state _ <"$process" || continue
		case "$state $name" in Z*) ;; *' (git)' | *' (git-'*) return 0 ;; esac
	done 2>/dev/null
	return 1
}
locked() { [ -n "$(find "$1/.git" -name '*.lock' 2>/dev/null)" ]; }
# whole FOLDER COMMIT: whether the commit was fetched completely. An interrupted fetch may leave a commit without its files;
# git moves references only in the end.
whole() { [ -n "$(git -C "$1" for-each-ref --count=1 --contains "$2" 2>/dev/null)" ]; }
# _ro_enter makes sure that nobody who may write to the parent folder can redirect this to another repository.
_ro_enter "$1" make || exit
shift
set -- . "$@"
# A killed git process leaves lock files behind, and may still be exiting.
n=0
while [ "$n" -lt 50 ] && locked "$1"; do
	if ! busy; then find "$1/.git" -name '*.lock' -exec rm -f -- {} +; fi
	n=$((n + 1))
	sleep 0.1
done
made "$1" || git init -q "$1" || exit
git -C "$1" config --replace-all remote.origin.url "$2" || exit
git -C "$1" config --replace-all remote.origin.fetch '+refs/heads/*:refs/remotes/origin/*' || exit
if [ -n "$4" ]; then
	git -C "$1" fetch -q --depth "$4" origin "$3" || exit
elif ! whole "$1" "$3"; then
	git -C "$1" fetch -q --tags --force origin || exit
	git -C "$1" fetch -q origin || exit
fi
force=$5
if half "$1"; then force=--force; fi
if [ -d "$1/.git" ]; then
	(_ro_enter "$(pwd -P)/.git" && rm -f ./rollout-checkout && set -C && printf '%s\n' "$3" >./rollout-checkout) || exit
fi
# shellcheck disable=SC2086 # No word at all when $force is empty.
git -C "$1" checkout -q $force --detach "$3"
status=$?
# Without a signal, git has either finished or refused before it changed files.
[ "$status" -gt 128 ] || rm -f -- "$1/.git/rollout-checkout"
[ "$status" = 0 ] || exit "$status"
# A hook of the repository may have checked out something else.
if [ "$(git -C "$1" rev-parse -q --verify HEAD)" != "$(git -C "$1" rev-parse -q --verify "$3^{commit}")" ]; then
	printf 'git found no fault, but HEAD is not %s now\n' "$3" >&2
	exit 1
fi
