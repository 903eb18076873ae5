// 1,000 goroutines, each waiting for data on its own descriptor.
package main

import (
	"net"
	"os"
)

const connections = 500

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	for range [connections]struct{}{} {
		near, err := net.Dial("tcp", listener.Addr().String())
		check(err)
		far, err := listener.Accept()
		check(err)
		go wait(near)
		go wait(far)
	}
	check(listener.Close())
	_, err = os.Stdout.Write([]byte{'\n'})
	check(err)
	select {}
}

func wait(connection net.Conn) {
	_, err := connection.Read(make([]byte, 1))
	check(err)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
