package testenv

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
)

// reply is one whole reply of a Redis server, RESP2 or RESP3.
type reply struct {
	bytes    []byte
	payloads []payload // of the bulk strings in it that are not empty
}

// payload is where a bulk string's content lies in a reply.
type payload struct{ start, end int }

// isBulk reports whether the reply as a whole is one bulk string with content.
func (r reply) isBulk() bool { return r.bytes[0] == '$' && len(r.payloads) == 1 }

func readReply(in *bufio.Reader) (reply, error) {
	var r reply
	err := r.readElement(in)
	return r, err
}

func (r *reply) readElement(in *bufio.Reader) error {
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	r.bytes = append(r.bytes, line...)
	if len(line) < 3 {
		return fmt.Errorf("a reply begins with %q", line)
	}
	elements := 1 // how many follow per unit of the number on this line
	switch line[0] {
	case '$', '=', '!':
		return r.readPayload(in, line)
	case '*', '~', '>':
	case '%':
		elements = 2
	case '|': // attributes precede what they describe
		return r.readElements(in, line, 2, 1)
	default:
		return nil
	}
	return r.readElements(in, line, elements, 0)
}

func (r *reply) readElements(in *bufio.Reader, line []byte, factor, more int) error {
	n, err := number(line)
	if err != nil {
		return err
	}
	for range max(n, 0)*factor + more {
		if err := r.readElement(in); err != nil {
			return err
		}
	}
	return nil
}

func (r *reply) readPayload(in *bufio.Reader, line []byte) error {
	n, err := number(line)
	if err != nil || n < 0 {
		return err
	}
	start := len(r.bytes)
	r.bytes = append(r.bytes, make([]byte, n+len("\r\n"))...)
	if _, err := io.ReadFull(in, r.bytes[start:]); err != nil {
		return err
	}
	if n > 0 {
		r.payloads = append(r.payloads, payload{start, start + n})
	}
	return nil
}

func number(line []byte) (int, error) { return strconv.Atoi(string(line[1 : len(line)-2])) }
