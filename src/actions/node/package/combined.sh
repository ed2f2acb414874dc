# shellcheck shell=sh disable=SC2154
# together: fails unless apt can read the sources in $d/it.sources together with all existing ones, of which $name is replaced:
# if two files contradict each other, apt reads none at all. Needs no network. The script avoids printf because a validation
# command uses its percent sign for the path of the new file.
readable() {
	{ apt-get indextargets -o Dir::Etc::sourcelist="$1" -o Dir::Etc::sourceparts="$2" >/dev/null; } 2>&1
}

together() {
	mkdir "$d/parts" "$d/two" || return
	for file in /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
		if [ "${file##*/}" != "$name" ] && [ -f "$file" ]; then cp -- "$file" "$d/parts/" || return; fi
	done
	list=/etc/apt/sources.list
	[ -f "$list" ] || list=/dev/null
	if ! said=$(readable "$list" "$d/parts"); then
		echo "apt cannot read the sources that are there, without this one: $said" >&2
		return 1
	fi
	cp -- "$d/it.sources" "$d/parts/$name" || return
	if said=$(readable "$list" "$d/parts"); then return; fi
	cp -- "$d/it.sources" "$d/two/" || return
	with=
	for file in "$list" "$d"/parts/*; do
		case $file in
		/dev/null | "$d/parts/$name") continue ;;
		"$d"/*) shown=/etc/apt/sources.list.d/${file##*/} ;;
		*) shown=$file ;;
		esac
		cp -- "$file" "$d/two/x${file##*/}" || return
		readable /dev/null "$d/two" >/dev/null || with="$with $shown"
		rm -f -- "$d/two/x${file##*/}"
	done
	if [ -n "$with" ]; then
		echo "it contradicts$with, which names the same archive in another way: remove that, or say the same in both" >&2
	fi
	echo "$said" >&2
	return 1
}
