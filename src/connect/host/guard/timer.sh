# shellcheck shell=sh disable=SC2154
# FOLDER SECONDS TOKEN: runs on the host by itself. Waits, then restores what the folder holds, unless the guard was
# removed before.
trap '' HUP INT
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
umask 077
cd "$1" || exit

read -r stat <"/proc/$$/stat"
token=$3 seconds=$2
set -f
# shellcheck disable=SC2086
set -- ${stat##*) }
set +f
echo "$$ ${20}" >pid.new && mv pid.new pid

# sleep uses the monotonic clock; the wall clock may jump.
sleep "$seconds"
mv "armed.$token" "restoring.$token" 2>/dev/null || exit 0
trap '' TERM

# An activation that is still running must not go on after the restore.
if [ -e applying ] && ! [ -e applied ]; then
	group=$(cat applying)
	kill -s TERM -- "-$group"
	sleep 1
	kill -s KILL -- "-$group"
fi 2>/dev/null

# ENTRY: restores one entry, in a subshell.
put_back() (
	kind=$(cat "$1/kind")
	what=$PWD/$1/what
	name=${path##*/}
	if ! [ -e "$what" ] && ! [ -L "$what" ]; then
		[ -d "${path%/*}/" ] || exit 0
		_ro_enter "${path%/*}/" || exit
		if [ -d "./$name" ] && ! [ -L "./$name" ]; then rmdir -- "./$name"; else rm -f -- "./$name"; fi
		exit
	fi
	case $kind in
	whole)
		_ro_scratch "${path%/*}/" || exit
		trap '' HUP INT TERM
		cp -a -- "$what" "./$name" || exit
		# Nothing can be renamed over a folder.
		if [ -d "../$name" ] && ! [ -L "../$name" ]; then
			mkdir "./$name.gone" && mv -- "../$name" "./$name.gone" || exit
		fi
		# Nor over a mount point: write in place.
		mv -f -- "./$name" .. || { [ -n "$_ro_safe" ] && [ -f "$what" ] && cat -- "$what" >"$path"; }
		;;
	attributes)
		read -r owner mode <"$what"
		_ro_attributes "$path" "$owner" "$mode"
		;;
	live) cat -- "$what" >"$path" ;;
	esac
)

{
	ended=ok
	count=0
	while [ -e "kept/$((count + 1))" ]; do count=$((count + 1)); done
	while [ "$count" -gt 0 ]; do
		path=$(cat "kept/$count/path")
		if put_back "kept/$count"; then
			echo "put back $path"
		else
			ended=failed
			echo "could not put back $path"
		fi
		count=$((count - 1))
	done
	command=$(cat restore)
	if [ -n "$command" ]; then
		(umask 022 && cd / && sh "$OLDPWD/restore") </dev/null
		status=$?
		echo "ran $command: exit $status"
		[ "$status" = 0 ] || ended=failed
	fi
	echo "$ended"
} >log 2>&1
sync log 2>/dev/null
logger -t rollout "$(cat unit): not confirmed in time, so it was put back ($(tail -n 1 log))" 2>/dev/null
mv "restoring.$token" "restored.$token"
