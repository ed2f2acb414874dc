# shellcheck shell=sh disable=SC2154
# $1 path, $2 SHA-256, $3 owner as chown takes it, $4 mode, $5 curl or wget, $6 URL for wget. For curl, the URL and the
# headers come on standard input. Exit status: 100 wrong checksum, 101 no directory, 102 cannot write, 103 a redirect that is
# not followed, others as the program.
#
# The script follows redirects itself: curl would send the headers to any server that the first one names, and wget would
# go from https to http. A redirect's URL may hold a token, so it is never passed as an argument. The wget of busybox
# follows redirects by itself, whatever its options.
folder=${1%/*}
if ! [ -d "${folder:-/}" ]; then
	printf 'there is no directory %s\n' "${folder:-/}" >&2
	exit 101
fi
_ro_scratch "$folder/" || exit 102
name=./${1##*/} program=$5 url=$6 headers=
case $program in
curl)
	IFS= read -r url
	headers=$(cat)
	;;
wget) wget --help 2>&1 | grep -q -e --max-redirect || program=busybox ;;
esac
authority() {
	_authority=${1#*://}
	printf '%s' "${_authority%%[/?#]*}"
}
origin() {
	_authority=$(authority "$1") && _authority=${_authority##*@}
	case $1 in
	https://*) printf 'https://%s' "${_authority%:443}" ;;
	*) printf '%s://%s' "${1%%://*}" "${_authority%:80}" ;;
	esac
}
# whole LOCATION: prints the absolute URL of a Location header.
whole() {
	_site=${url%%://*}://$(authority "$url") _path=${url%%[?#]*}
	case $1 in
	[a-zA-Z]*://*) printf '%s' "$1" ;;
	//*) printf '%s:%s' "${url%%://*}" "$1" ;;
	/*) printf '%s%s' "$_site" "$1" ;;
	'?'*) printf '%s%s' "$_path" "$1" ;;
	*)
		[ "$_path" != "$_site" ] || _path=$_path/
		printf '%s/%s' "${_path%/*}" "$1"
		;;
	esac
}
# Makes one request. Prints the URL of a redirect; nothing when the file was received.
ask() {
	case $program in
	curl)
		{
			printf 'fail\nsilent\nshow-error\nproto = "=http,https"\nwrite-out = "%%{redirect_url}"\nurl = "'
			printf '%s' "$url" | sed 's/[\\"]/\\&/g'
			printf '"\n%s\n' "$headers"
		} | curl -q --config - --output "$name"
		;;
	wget)
		_said=$(printf '%s\n' "$url" | LC_ALL=C wget -nv -S --max-redirect=0 -O "$name" -i - 2>&1) && return
		_status=$?
		_answer=$(printf '%s\n' "$_said" | sed -n 's|^ *HTTP/[0-9.]* *||p' | tail -n 1)
		_to=$(printf '%s\n' "$_said" | tr -d '\r' | sed -n 's/^ *[Ll]ocation: *//p' | tail -n 1)
		case $_answer in 30[12378]*) ;; *) _to= ;; esac
		if [ -z "$_to" ]; then
			printf '%s\n' "$_said" >&2
			exit "$_status"
		fi
		whole "$_to"
		;;
	*) wget -O "$name" "$url" >&2 ;;
	esac
}
hops=0
while :; do
	to=$(ask) || exit
	[ -n "$to" ] || break
	hops=$((hops + 1))
	case $to in
	https://*) ;;
	http://*) case $url in https://*) hops=99 ;; esac ;;
	*) hops=99 ;;
	esac
	if [ "$hops" -gt 10 ]; then
		printf 'it redirects to %s, which is not followed\n' "$(origin "$to")" >&2
		exit 103
	fi
	[ "$(origin "$to")" = "$(origin "$url")" ] || headers=
	url=$to
done
got=$(sha256sum <"$name") || exit 102
if [ "${got%% *}" != "$2" ]; then
	printf 'its checksum is sha256:%s, of %s bytes\n' "${got%% *}" "$(wc -c <"$name")" >&2
	exit 100
fi
_ro_change "$name" "$3" "$4" && mv -f -- "$name" .. || exit 102
