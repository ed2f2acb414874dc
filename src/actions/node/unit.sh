# shellcheck shell=sh disable=SC2154
# Makes systemd do $verb with $unit. When that fails, what the unit logged goes to standard error.
began=$(date '+%F %T')
systemctl "$verb" -- "$unit" && { [ "$verb" = stop ] || ! systemctl -q is-failed -- "$unit"; } && exit 0
{
	LC_ALL=C systemctl show -p ActiveState,SubState,Result -- "$unit" | tr '\n' ' '
	echo
	journalctl --no-pager -q -o cat -n 15 --since "$began" -u "$unit"
} >&2
exit 1
