# shellcheck shell=sh disable=SC2154
# How apt is called: it asks nothing, keeps configuration files that were edited, and waits $lock seconds for its lock.
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
apt() {
	apt-get -y -q -o DPkg::Lock::Timeout="$lock" -o Dpkg::Use-Pty=0 \
		-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" </dev/null
}

# Ends what was cut off: until then dpkg refuses all else.
repair() {
	[ -z "$(dpkg --audit 2>/dev/null)" ] || dpkg --force-confdef --force-confold --configure -a </dev/null
}

# Fetches the lists. Their lock is not waited for by apt itself.
refresh() {
	waited=0
	while ! said=$(apt update "$@" 2>&1); do
		case $said in
		*'Could not get lock'* | *'Unable to lock'*) ;;
		*) waited=$lock ;;
		esac
		if [ "$waited" -ge "$lock" ]; then
			echo "$said" >&2
			return 1
		fi
		sleep 2
		waited=$((waited + 2))
	done
	# Of one list only, it says nothing of the others' age.
	[ $# -gt 0 ] || { mkdir -p /var/lib/apt/periodic && touch /var/lib/apt/periodic/update-success-stamp; }
}
