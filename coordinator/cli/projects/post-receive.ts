/**
 * The hook that tells Gantry of a push: for `hooks/post-receive` of a repository on a git server. Perl with what comes
 * with it, because git needs perl anyway; it never fails a push, and what it could not tell is found by the next poll.
 */
export function postReceiveHook(options: { readonly url: string; readonly secretFile: string }): string {
  return `#!/usr/bin/perl
# Tells Gantry of each push. The secret that signs is in the file below; whoever may read it may tell anything.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_hex sha256_hex);
use HTTP::Tiny;
use JSON::PP;
use Time::HiRes qw(time);

my $url = ${perlQuoted(options.url)};
my $secret_file = ${perlQuoted(options.secretFile)};

my @moves;
while (my $line = <STDIN>) {
  chomp $line;
  my ($old, $new, $ref) = split / /, $line, 3;
  push @moves, { ref => $ref, old => $old, new => $new } if $ref =~ m{^refs/(?:heads|tags|for)/};
}
exit 0 unless @moves;

my $secret = do {
  open my $file, '<', $secret_file or do { print "gantry: $secret_file: $!; the push is found by polling\\n"; exit 0 };
  local $/;
  <$file>;
};
$secret =~ s/\\s+\\z//;

my $pusher = $ENV{GANTRY_PUSHER} // $ENV{REMOTE_USER} // $ENV{GL_USERNAME} // getpwuid($<) // '';
my $body = JSON::PP->new->canonical->ascii->encode({ pusher => $pusher, moves => \\@moves });
# The same push is the same delivery, also when it is sent again.
my $delivery = substr(sha256_hex($body), 0, 32) . '-' . int(time * 1000);
my $http = HTTP::Tiny->new(timeout => 5, agent => 'gantry-hook');
for my $pause (0, 1, 3) {
  sleep $pause if $pause;
  my $timestamp = int(time);
  my $answer = $http->post($url, {
    content => $body,
    headers => {
      'content-type' => 'application/json',
      'x-gantry-delivery' => $delivery,
      'x-gantry-timestamp' => $timestamp,
      'x-gantry-signature' => 'sha256=' . hmac_sha256_hex("$timestamp.$delivery.$body", $secret),
    },
  });
  # 409: it was taken before, and only the answer was lost.
  if ($answer->{success} || $answer->{status} == 409) { print "gantry: told\\n"; exit 0 }
  # Connection refused, time-out, or 503: again. Anything else will not change.
  next if $answer->{status} == 599 || $answer->{status} >= 500;
  print "gantry: refused ($answer->{status}): $answer->{content}\\n";
  exit 0;
}
print "gantry: could not be reached; the push is found by polling\\n";
exit 0;
`;
}

/** In single quotes; nothing in them is expanded. */
const perlQuoted = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`;
