# shellcheck shell=sh disable=SC2154
# Reboots the host with $reboot, $delay seconds after this script has ended. The file $note records which boot is to end, and
# its age; the output of the command goes to $log.
id=$(cat /proc/sys/kernel/random/boot_id) || exit
# The host may have been rebooted since the probe.
[ "$id" = "$boot" ] || exit 0
if [ -z "$reboot" ]; then
	if [ -d /run/systemd/system ]; then
		reboot='systemctl reboot'
	elif command -v reboot >/dev/null 2>&1; then
		reboot=reboot
	else
		echo 'there is neither systemd nor a program named reboot' >&2
		exit 127
	fi
fi
umask 022
mkdir -p -- "${note%/*}" || exit
read -r up _ </proc/uptime || exit
printf '%s %s\n' "$boot" "${up%%.*}" >"$note.new" && mv -f -- "$note.new" "$note" || exit
# The note must survive the reboot, even one without a clean shutdown.
sync
if [ -n "$message" ]; then
	printf '%s\n' "$message" | wall >/dev/null 2>&1
fi
detached=
if command -v setsid >/dev/null 2>&1; then detached=setsid; fi
# shellcheck disable=SC2016
$detached sh -c 'trap "" HUP
	sleep "$1"
	sh -c "$2" || printf "exit status %s\n" "$?"' sh "$delay" "$reboot" </dev/null >"$log" 2>&1 &
