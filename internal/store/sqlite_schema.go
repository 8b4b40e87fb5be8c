package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// sqliteVersion is the schema that this version reads and writes (PRAGMA user_version).
const sqliteVersion = 1

// The tables. A document's body is what was given, byte for byte; the columns beside it are there to be filtered on. The
// full text has its words already found (words), so that the tokenizer splits at spaces only.
const sqliteTables = `
CREATE TABLE documents (
	seq INTEGER PRIMARY KEY,
	id TEXT NOT NULL UNIQUE,
	class TEXT NOT NULL,
	time INTEGER NOT NULL,
	body BLOB NOT NULL,
	cluster TEXT, namespace TEXT, kind TEXT, name TEXT, uid TEXT, reason TEXT, type TEXT, fact TEXT,
	workload_kind TEXT, workload TEXT, service TEXT, node TEXT
);
CREATE INDEX documents_time ON documents (time, id);
CREATE INDEX documents_namespace ON documents (namespace, time, id);
CREATE INDEX documents_name ON documents (name, time, id);
CREATE INDEX documents_reason ON documents (reason, time, id);
CREATE VIRTUAL TABLE messages USING fts5 (
	words, content = '', contentless_delete = 1,
	tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* P* S* C*'"
);
`

// Not INSERT OR IGNORE: that would also swallow a row that breaks any other constraint.
const insertDocument = `
INSERT INTO documents (id, class, time, body, cluster, namespace, kind, name, uid, reason, type, fact, workload_kind, workload, service, node)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING`

const insertMessage = `INSERT INTO messages (rowid, words) VALUES (?, ?)`

// migrate runs in one transaction, so that a kill leaves the old schema or the new one.
func (s *SQLite) migrate(ctx context.Context) (err error) {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, rollback(tx))
		}
	}()
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch {
	case version > sqliteVersion:
		return refusef("the file has schema %d, this version of kubescribe knows up to %d: use the version that wrote it", version, sqliteVersion)
	case version == sqliteVersion:
		return tx.Commit()
	}
	if _, err := tx.ExecContext(ctx, sqliteTables); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", sqliteVersion)); err != nil {
		return err
	}
	return tx.Commit()
}

// row is what a document's row has beside the document.
type row struct {
	cluster, namespace, kind, name, uid, reason, kubeType, fact, workloadKind, workload, service, node string

	words string
}

func (r row) columns() []any {
	values := []string{
		r.cluster, r.namespace, r.kind, r.name, r.uid, r.reason, r.kubeType, r.fact, r.workloadKind, r.workload, r.service, r.node,
	}
	args := make([]any, len(values))
	for i, v := range values {
		if v != "" { // absent is NULL
			args[i] = v
		}
	}
	return args
}

// extract reads the fields to filter on out of a document. Its error says why the document can never be stored.
func extract(body []byte) (row, error) {
	if !utf8.Valid(body) {
		return row{}, errors.New("the document is not valid UTF-8")
	}
	type named struct {
		Name string `json:"name"`
	}
	var d struct {
		Timestamp time.Time `json:"@timestamp"`
		Message   string    `json:"message"`
		Event     struct {
			Action string `json:"action"`
		} `json:"event"`
		Orchestrator struct {
			Cluster  named `json:"cluster"`
			Resource struct {
				Type string `json:"type"`
				Name string `json:"name"`
				ID   string `json:"id"`
			} `json:"resource"`
		} `json:"orchestrator"`
		Kubernetes struct {
			Namespace string `json:"namespace"`
			Event     struct {
				Type string `json:"type"`
			} `json:"event"`
			Node named `json:"node"`
		} `json:"kubernetes"`
		Service    named `json:"service"`
		Kubescribe struct {
			Type     string `json:"type"`
			Workload struct {
				Kind string `json:"kind"`
				Name string `json:"name"`
			} `json:"workload"`
		} `json:"kubescribe"`
	}
	if err := json.Unmarshal(body, &d); err != nil {
		return row{}, fmt.Errorf("decoding the document: %w", err)
	}
	return row{
		cluster: d.Orchestrator.Cluster.Name, namespace: d.Kubernetes.Namespace,
		kind: d.Orchestrator.Resource.Type, name: d.Orchestrator.Resource.Name, uid: d.Orchestrator.Resource.ID,
		reason: d.Event.Action, kubeType: d.Kubernetes.Event.Type, fact: d.Kubescribe.Type,
		workloadKind: d.Kubescribe.Workload.Kind, workload: d.Kubescribe.Workload.Name,
		service: d.Service.Name, node: d.Kubernetes.Node.Name,
		words: strings.Join(words(d.Message), " "),
	}, nil
}
