# shellcheck shell=sh disable=SC2154
# Functions that call apt: it asks no questions, keeps edited configuration files, and waits $lock seconds for its lock.
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
apt() {
	apt-get -y -q -o DPkg::Lock::Timeout="$lock" -o Dpkg::Use-Pty=0 \
		-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" </dev/null
}

# Completes an interrupted run: until then, dpkg refuses everything else.
repair() {
	[ -z "$(dpkg --audit 2>/dev/null)" ] || dpkg --force-confdef --force-confold --configure -a </dev/null
}

# Fetches the lists. apt itself does not wait for their lock.
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
	# With arguments only some lists are fetched, so the age of the others stays as it is.
	[ $# -gt 0 ] || { mkdir -p /var/lib/apt/periodic && touch /var/lib/apt/periodic/update-success-stamp; }
}
