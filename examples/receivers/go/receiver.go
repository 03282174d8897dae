// A klikit webhook receiver for Go 1.19 or newer, with the standard library only.
//
//	KLIKIT_WEBHOOK_SECRET=... go run .        HOST, PORT and RECEIVER_FILE are optional
//
// The one rule: a delivery is on disk before it is answered with 2xx. Whatever goes wrong earlier is not answered
// 2xx, so the sender comes again; whatever was answered is found again after a crash, so a repeat changes nothing.
package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const bodyBytesMax = 10 << 20

type order struct {
	ID        int64     `json:"id"`
	Status    int64     `json:"status"`
	Version   *int64    `json:"version"`
	updatedAt time.Time // zero where the record has none that can be read
}

// entry is one line of the file. Go writes a []byte into JSON as base64.
type entry struct {
	EventID    string    `json:"event_id"`
	EventType  string    `json:"event_type"`
	ReceivedAt time.Time `json:"received_at"`
	SHA256     string    `json:"sha256"`
	Readable   bool      `json:"readable"`
	Orders     []order   `json:"orders"`
	Body       []byte    `json:"body_base64"`
}

// readOrders reads the orders of an envelope. Maps, because Go's structs would also take "ID" or "Status" for the
// fields wanted here, and a record has a hundred other fields.
func readOrders(body []byte) ([]order, error) {
	var envelope map[string]json.RawMessage
	var records []map[string]json.RawMessage
	if err := json.Unmarshal(body, &envelope); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(envelope["orders"], &records); err != nil || records == nil {
		return nil, errors.New("no orders")
	}
	orders := make([]order, len(records))
	for i, record := range records {
		var id, status *int64
		if json.Unmarshal(record["id"], &id) != nil || json.Unmarshal(record["status"], &status) != nil || id == nil || status == nil {
			return nil, errors.New("an order without id or status")
		}
		orders[i].ID, orders[i].Status = *id, *status
		if json.Unmarshal(record["version"], &orders[i].Version) != nil {
			orders[i].Version = nil
		}
		if json.Unmarshal(record["updated_at"], &orders[i].updatedAt) != nil {
			orders[i].updatedAt = time.Time{}
		}
	}
	return orders, nil
}

// receiver is what was accepted (a file, one line per delivery), and the order view that follows from it.
type receiver struct {
	secret []byte
	mutex  sync.Mutex
	file   *os.File
	seen   map[string]bool
	view   map[int64]order
}

// open reads the file again. A last line without its line feed was cut off by a crash and never acknowledged, so it
// is taken away; any other damage stops the start.
func open(path, secret string) (*receiver, error) {
	r := &receiver{secret: []byte(secret), seen: map[string]bool{}, view: map[int64]order{}}
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	kept := bytes.LastIndexByte(content, '\n') + 1
	for number, line := range bytes.Split(bytes.TrimSuffix(content[:kept], []byte("\n")), []byte("\n")) {
		var e entry
		if kept == 0 {
			break
		} else if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("line %d of %s: %w", number+1, path, err)
		}
		r.seen[e.EventID] = true
		if orders, err := readOrders(e.Body); err == nil {
			r.apply(orders)
		}
	}
	if r.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return nil, err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	for _, step := range []error{r.file.Truncate(int64(kept)), r.file.Sync(), folder.Sync()} { // the file's name must survive too
		if step != nil {
			return nil, step
		}
	}
	return r, nil
}

// apply keeps the newest state of each order, not the last one to come in: deliveries may arrive late.
func (r *receiver) apply(orders []order) {
	for _, o := range orders {
		known, ok := r.view[o.ID]
		older := false
		if ok && o.Version != nil && known.Version != nil {
			older = *o.Version < *known.Version
		} else if ok && !o.updatedAt.IsZero() && !known.updatedAt.IsZero() {
			older = o.updatedAt.Before(known.updatedAt)
		}
		if !older {
			r.view[o.ID] = o
		}
	}
}

func (r *receiver) accept(eventID, eventType string, body []byte) string {
	sum := sha256.Sum256(body)
	e := entry{EventID: eventID, EventType: eventType, ReceivedAt: time.Now().UTC(), SHA256: hex.EncodeToString(sum[:]), Body: body}
	if eventID == "" {
		e.EventID = "sha256:" + e.SHA256 // genuine but without an id: the bytes themselves are the id
	}
	orders, err := readOrders(body)
	e.Readable = err == nil // the unreadable is kept for a person; refusing it would only make the sender repeat it
	e.Orders = append([]order{}, orders...)
	line, err := json.Marshal(e)

	r.mutex.Lock() // from the look to the fsync, so that two posts of the same id cannot both find it new
	defer r.mutex.Unlock()
	if r.seen[e.EventID] {
		return "duplicate-ignored"
	}
	if err == nil {
		_, err = r.file.Write(append(line, '\n'))
	}
	if err == nil {
		err = r.file.Sync()
	}
	if err != nil {
		log.Fatalf("cannot keep deliveries: %v", err) // what is on disk now is unknown: start again from it
	}
	r.seen[e.EventID] = true
	r.apply(orders)
	return "received"
}

func (r *receiver) webhook(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, bodyBytesMax)) // the bytes as they came: what was signed
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		http.Error(w, "body too large", http.StatusRequestEntityTooLarge)
		return
	} else if err != nil {
		http.Error(w, "half a body", http.StatusBadRequest)
		return
	}
	mac := hmac.New(sha256.New, r.secret)
	mac.Write(body)
	expected := hex.EncodeToString(mac.Sum(nil))
	if !hmac.Equal([]byte(req.Header.Get("x-klikit-signature")), []byte(expected)) {
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "forbidden")
		return
	}
	answer(w, map[string]string{"status": r.accept(req.Header.Get("x-klikit-event-id"), req.Header.Get("x-klikit-event-type"), body)})
}

func (r *receiver) orders(w http.ResponseWriter, _ *http.Request) {
	r.mutex.Lock()
	orders := make([]order, 0, len(r.view))
	for _, o := range r.view {
		orders = append(orders, o)
	}
	r.mutex.Unlock()
	answer(w, orders)
}

func answer(w http.ResponseWriter, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(text)
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func main() {
	secret := os.Getenv("KLIKIT_WEBHOOK_SECRET")
	if secret == "" {
		log.Fatal("KLIKIT_WEBHOOK_SECRET is not set")
	}
	r, err := open(setting("RECEIVER_FILE", "./receiver.ndjson"), secret)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/webhooks/klikit", r.webhook)
	http.HandleFunc("/orders", r.orders)
	host := setting("HOST", "127.0.0.1")
	listener, err := net.Listen("tcp", net.JoinHostPort(host, setting("PORT", "8787")))
	if err != nil {
		log.Fatal(err)
	}
	// The idle time-out is longer than senders keep an idle connection, so that they do not post into a closing one.
	server := &http.Server{ReadTimeout: 10 * time.Second, WriteTimeout: 20 * time.Second, IdleTimeout: time.Minute}
	stopped := make(chan struct{})
	go func() {
		stop, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
		<-stop.Done()
		server.Shutdown(context.Background()) // the posts that are under way get their answer
		close(stopped)
	}()
	fmt.Printf("listening on http://%s:%d\n", host, listener.Addr().(*net.TCPAddr).Port)
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-stopped
}
