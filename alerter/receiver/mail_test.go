package receiver_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"kubescribe/alerter/receiver"
	"kubescribe/schemas"
)

// mailServer speaks enough SMTP for one mail each connection. answers replace what it says to a command.
type mailServer struct {
	address string
	mails   chan string
}

func serveMail(t *testing.T, answers map[string]string) mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	s := mailServer{l.Addr().String(), make(chan string, 10)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.speak(conn, answers)
		}
	}()
	return s
}

func (s mailServer) speak(conn net.Conn, answers map[string]string) {
	defer conn.Close()
	say := func(line string) { fmt.Fprintf(conn, "%s\r\n", line) }
	say("220 here")
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb := strings.ToUpper(strings.Fields(line + " x")[0])
		if a, ok := answers[verb]; ok {
			say(a)
			continue
		}
		switch verb {
		case "EHLO":
			say("250-here\r\n250 AUTH PLAIN")
		case "AUTH":
			say("235 welcome")
		case "DATA":
			say("354 go on")
			var mail strings.Builder
			for line, err = in.ReadString('\n'); err == nil && line != ".\r\n"; line, err = in.ReadString('\n') {
				mail.WriteString(line)
			}
			s.mails <- mail.String()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func mailTo(s mailServer) receiver.Config {
	return receiver.Config{Name: "mail", Type: "email", Secret: "hunter2", Email: receiver.EmailConfig{
		Host: s.address, TLS: "none", Username: "u", From: "Kubescribe <kubescribe@example.com>", To: []string{"oncall@example.com", "Team <team@example.com>"},
	}}
}

func TestMail(t *testing.T) {
	s := serveMail(t, nil)
	c := mailTo(s)
	require.NoError(t, c.Validate("x"))
	r := receiver.New(c, links)
	require.NoError(t, r.Send(t.Context(), crash(schemas.AlertFiring), now))
	m, err := netmail.ReadMessage(strings.NewReader(<-s.mails))
	require.NoError(t, err)
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	require.NoError(t, err)
	assert.Equal(t, "[firing] CrashLoop: Deployment/web in shop is crash looping", subject)
	to, err := m.Header.AddressList("To")
	require.NoError(t, err)
	assert.Len(t, to, 2)
	text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	require.NoError(t, err)
	for _, want := range []string{"owner      Deployment/web", "rollout    revision 7, 5m0s before", "Log of main:\r\n  starting\r\n  panic", "2. Undo the rollout.", "kibana     https://kibana.example"} {
		assert.Contains(t, string(text), want)
	}
	first, thread := m.Header.Get("Message-Id"), m.Header.Get("References")

	require.NoError(t, r.Send(t.Context(), crash(schemas.AlertFiring), now.Add(time.Hour)))
	again, err := netmail.ReadMessage(strings.NewReader(<-s.mails))
	require.NoError(t, err)
	assert.Equal(t, first, again.Header.Get("Message-Id"), "a repeat after a crash is the same mail")
	end := crash(schemas.AlertResolved)
	end.ID = "another"
	require.NoError(t, r.Send(t.Context(), end, now))
	m, err = netmail.ReadMessage(strings.NewReader(<-s.mails))
	require.NoError(t, err)
	assert.NotEqual(t, first, m.Header.Get("Message-Id"))
	assert.Equal(t, thread, m.Header.Get("References"), "one thread")
}

func TestMailVerdicts(t *testing.T) {
	for _, tt := range []struct {
		verb, says string
		refused    bool
	}{
		{"RCPT", "550 no such user", true},
		{"RCPT", "450 busy", false},
		{"MAIL", "552 too large", true},
		{"AUTH", "535 wrong password", false},
		{"DATA", "554 looks like spam", true},
		{"MAIL", "421 not now", false},
	} {
		c := mailTo(serveMail(t, map[string]string{tt.verb: tt.says}))
		c.Timeout = 5 * time.Second
		err := receiver.New(c, links).Send(t.Context(), crash(schemas.AlertFiring), now)
		require.Error(t, err, tt.says)
		assert.Equal(t, tt.refused, errors.As(err, new(*receiver.RefusedError)), "%s: %v", tt.says, err)
		assert.NotContains(t, err.Error(), "hunter2")
	}
	// STARTTLS is asked for unless it is switched off: a password is never sent in the clear by mistake.
	c := mailTo(serveMail(t, nil))
	c.Email.TLS = ""
	assert.ErrorContains(t, receiver.New(c, links).Send(t.Context(), crash(schemas.AlertFiring), now), "TLS")
	c.Email.Host = "127.0.0.1:1"
	assert.Error(t, receiver.New(c, links).Send(t.Context(), crash(schemas.AlertFiring), now))
}
