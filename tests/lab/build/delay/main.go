// delay carries IP packets late: what the kernel routes into its TUN device leaves
// through another device after a fixed time. It stands in for `tc netem`, which not
// every kernel has. Delaying one direction by a whole round trip is enough, since no
// one can tell on which way a packet was late.
//
// usage: delay TUN OUT MILLISECONDS
package main

import (
	"fmt"
	"log"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// More than a full window of every connection; beyond it packets are dropped, as by a router.
const queued = 1 << 15

type packet struct {
	due  time.Time
	data []byte
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: delay TUN OUT MILLISECONDS")
	}
	ms, err := strconv.ParseFloat(os.Args[3], 64)
	if err != nil || ms < 0 {
		log.Fatalf("not a number of milliseconds: %q", os.Args[3])
	}
	tun, err := openTUN(os.Args[1])
	if err != nil {
		log.Fatalf("opening TUN device %s: %v", os.Args[1], err)
	}
	out, err := openRaw(os.Args[2])
	if err != nil {
		log.Fatalf("opening raw socket on %s: %v", os.Args[2], err)
	}
	delayed := make(chan packet, queued)
	go send(out, delayed)
	receive(tun, delayed, time.Duration(ms*float64(time.Millisecond)))
}

func receive(tun int, delayed chan<- packet, late time.Duration) {
	buffer := make([]byte, 65536)
	for {
		n, err := syscall.Read(tun, buffer)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			log.Fatalf("reading from the TUN device: %v", err)
		}
		select {
		case delayed <- packet{time.Now().Add(late), append([]byte(nil), buffer[:n]...)}:
		default:
		}
	}
}

func send(out int, delayed <-chan packet) {
	for p := range delayed {
		sleepUntil(p.due)
		// Only IPv4 is routed here; the kernel's own IPv6 chatter on a new device is not.
		if len(p.data) < 20 || p.data[0]>>4 != 4 {
			continue
		}
		to := syscall.SockaddrInet4{Addr: netip.AddrFrom4([4]byte(p.data[16:20])).As4()}
		// An unreachable host is the sender's business: a network does not report it either.
		_ = syscall.Sendto(out, p.data, 0, &to)
	}
}

// The runtime's own timers round up to a millisecond when there is nothing else to do.
func sleepUntil(due time.Time) {
	for left := time.Until(due); left > 0; left = time.Until(due) {
		nap := syscall.NsecToTimespec(left.Nanoseconds())
		_ = syscall.Nanosleep(&nap, nil)
	}
}

func openTUN(name string) (int, error) {
	fd, err := syscall.Open("/dev/net/tun", syscall.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	var request struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	if len(name) >= len(request.name) {
		return 0, fmt.Errorf("name longer than %d", len(request.name)-1)
	}
	copy(request.name[:], name)
	request.flags = syscall.IFF_TUN | syscall.IFF_NO_PI
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TUNSETIFF, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return 0, errno
	}
	return fd, nil
}

// Bound to its device, so that a packet cannot be routed into the TUN device again.
func openRaw(device string) (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_RAW)
	if err != nil {
		return 0, err
	}
	return fd, syscall.BindToDevice(fd, device)
}
