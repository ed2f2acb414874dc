# shellcheck shell=sh disable=SC2154
# Sent before probe.sh and checkout.sh. git never asks for a password or a host key: nobody could answer.
export LC_ALL=C GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND="${GIT_SSH_COMMAND:-ssh -o BatchMode=yes}"

# made FOLDER: whether `git init` was completed there, by this action or by somebody else.
made() {
	[ -f "$1/.git" ] || { [ -e "$1/.git/HEAD" ] && [ -d "$1/.git/objects" ] && [ -d "$1/.git/refs" ]; }
}

# half FOLDER: whether a checkout of this action was interrupted there. Its files are then a mixture of two versions, and not
# changes that somebody made.
half() {
	[ -f "$1/.git/rollout-checkout" ] || return
	[ "$(cat "$1/.git/rollout-checkout")" != "$(git -C "$1" rev-parse -q --verify HEAD)" ]
}
