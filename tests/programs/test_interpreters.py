#!/usr/bin/python3
"""Ruby and Perl with their threads. Ruby's are kernel threads that pass a global lock on, with a
timer thread that makes them; Perl's each own a copy of the interpreter."""

from harness import main, needs, same, test, write

RUBY = r"""
require 'socket'
require 'timeout'
require 'monitor'
queue, results = Queue.new, Queue.new
workers = 8.times.map { Thread.new { while (n = queue.pop) != :end do results << n * n end } }
200.times { |n| queue << n }
8.times { queue << :end }
workers.each(&:join)
puts "squares: #{200.times.map { results.pop }.sum}"

mutex, filled, list = Mutex.new, ConditionVariable.new, []
consumer = Thread.new { 50.times.map { mutex.synchronize { filled.wait(mutex) while list.empty?
                                                            list.shift } } }
50.times { |n| mutex.synchronize { list << n; filled.signal }; Thread.pass if n % 7 == 0 }
puts "in order: #{consumer.value == (0...50).to_a}"

server = TCPServer.new('127.0.0.1', 0)
acceptor = Thread.new { loop { s = server.accept
                               Thread.new { while line = s.gets do s.puts line.chomp.reverse end; s.close } } }
answers = 30.times.map { |n| Thread.new {
  TCPSocket.open('127.0.0.1', server.addr[1]) { |s|
    20.times.map { |i| s.puts "#{n} #{i}"; s.gets.chomp.reverse == "#{n} #{i}" }.all? } } }
puts "answers: #{answers.map(&:value).all?}"
acceptor.kill
acceptor.join

begin
  Timeout.timeout(0.05) { IO.pipe[0].read }
rescue Timeout::Error
  puts 'timed out'
end
spinning = Thread.new { loop {} }
counted = 0
5.times { counted += 1; sleep 0.001 }
spinning.kill.join
puts "counted beside a hog: #{counted}"
raised = Thread.new { sleep }
sleep 0.01
raised.raise ArgumentError, 'from outside'
begin
  raised.report_on_exception = false
  raised.join
rescue ArgumentError => e
  puts e.message
end
got = Queue.new
trap('USR1') { got << :signal }
Process.kill('USR1', $$)
puts got.pop
puts `echo a child`, $?.exitstatus
reader, writer = IO.pipe
pid = fork { reader.close; writer.puts Thread.list.size; exit!(3) }
writer.close
puts reader.gets, Process.wait2(pid)[1].exitstatus
local = 20.times.map { |n| Thread.new { Thread.current[:n] = n; sleep 0.001; Thread.current[:n] } }
puts "thread-local: #{local.map(&:value) == (0...20).to_a}"
"""

PERL = r"""
use strict; use warnings;
use threads; use threads::shared; use Thread::Queue; use IO::Socket::INET;
$| = 1;
my $sum :shared = 0;
my @adders = map { my $n = $_; threads->create(sub {
    for (1 .. 100) { lock($sum); $sum += $n; threads->yield() if $_ % 10 == 0 } $n * $n }) } 1 .. 8;
print 'squares: ', join(' ', map { $_->join } @adders), "\nsum: $sum\n";

my ($in, $out) = (Thread::Queue->new, Thread::Queue->new);
my @workers = map { threads->create(sub {
    while (defined(my $item = $in->dequeue)) { $out->enqueue(scalar reverse $item) } }) } 1 .. 4;
$in->enqueue("item $_") for 1 .. 100;
$in->end;
$_->join for @workers;
print 'queued: ', $out->pending, "\n";

my @list :shared;
my $consumer = threads->create(sub { my @got;
    while (@got < 40) { lock(@list); cond_wait(@list) until @list; push @got, shift @list } "@got" });
for my $n (1 .. 40) { lock(@list); push @list, $n; cond_signal(@list) }
print 'in order: ', $consumer->join eq join(' ', 1 .. 40) ? "yes\n" : "no\n";

my $late :shared = 0;
{ lock($late); print 'timed wait: ', cond_timedwait($late, time + 1) ? 'woken' : 'over', "\n" }

my $server = IO::Socket::INET->new(Listen => 20, LocalAddr => '127.0.0.1', Proto => 'tcp') or die;
my $port = $server->sockport;
my $serving = threads->create(sub { for (1 .. 6) { my $c = $server->accept;
    threads->create(sub { while (my $line = <$c>) { print $c uc $line } close $c })->detach } });
my @clients = map { my $n = $_; threads->create(sub {
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die;
    my $right = 0;
    for (1 .. 10) { print $s "line $n $_\n"; $right++ if <$s> eq "LINE $n $_\n" }
    $right }) } 1 .. 6;
print 'answers: ', join(' ', map { $_->join } @clients), "\n";
$serving->join;

my $dead = threads->create(sub { local $SIG{KILL} = sub { threads->exit(7) };
                                 select(undef, undef, undef, 0.005) for 1 .. 2000; 1 });
select(undef, undef, undef, 0.02);
$dead->kill('KILL')->join;
print "killed\n";
print `echo a child`;
my $pid = fork; if (!$pid) { exit 5 } waitpid $pid, 0; print 'child: ', $? >> 8, "\n";
local $SIG{ALRM} = sub { die "alarm\n" };
eval { alarm 1; select(undef, undef, undef, 10); }; print "it was: $@";
"""


@test(timeout=120)
def ruby_threads():
    needs("ruby")
    green = same("ruby", "--disable-gems", write("program.rb", RUBY))[1]
    green.check_green(threads=40)


@test(timeout=120)
def perl_threads():
    needs("perl")
    green = same("perl", write("program.pl", PERL))[1]
    green.check_green(threads=25)


if __name__ == "__main__":
    main()
