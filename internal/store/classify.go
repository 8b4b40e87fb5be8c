package store

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// classifyItem judges the answer for one document of a bulk request: its status, the type of the error and its reason.
func classifyItem(status int, kind, reason string) Verdict {
	switch {
	case status >= 200 && status < 300:
		return Done
	case kind == "cluster_block_exception":
		// A write block or a full disk (403, 429) lasts until somebody acts; a cluster without a master (503) does not.
		if status >= 500 {
			return Retry
		}
		return Refused
	case status == http.StatusConflict:
		return Done
	case status == http.StatusTooManyRequests, status >= 500:
		return Retry
	case status == http.StatusRequestEntityTooLarge:
		return Poison
	case status == http.StatusBadRequest:
		return classifyBadRequest(kind, reason)
	}
	return Refused
}

// configurationTypes are errors of status 400 that are about the index or the cluster, not the document.
var configurationTypes = map[string]bool{
	"index_closed_exception":              true,
	"invalid_index_name_exception":        true,
	"invalid_alias_name_exception":        true,
	"resource_already_exists_exception":   true,
	"index_creation_exception":            true,
	"invalid_index_template_exception":    true,
	"invalid_index_setting_exception":     true,
	"settings_exception":                  true,
	"validation_exception":                true, // the cluster has all the shards that it may have
	"action_request_validation_exception": true,
	"security_exception":                  true,
}

// configurationReasons begin the reason of an illegal_argument_exception that is about the index or the cluster.
var configurationReasons = []string{
	"no write index is defined for alias",
	"index name [",                  // the name and parse_origination_date disagree
	"cannot create index with name", // a data stream's template matches
	"pipeline with id",
	"unknown setting",
	"composable template",
	"only write ops with an op_type of create",
	"Alias [",
	"Validation Failed: 1: this action would add",
}

func classifyBadRequest(kind, reason string) Verdict {
	if configurationTypes[kind] {
		return Refused
	}
	if kind == "illegal_argument_exception" {
		for _, c := range configurationReasons {
			if strings.HasPrefix(reason, c) {
				return Refused
			}
		}
	}
	return Poison
}

// requestClass is what the answer to a whole request asks for.
type requestClass uint8

const (
	requestDone requestClass = iota
	requestTransient
	// requestSplit: it is too large; its halves may not be.
	requestSplit
	// requestRejected: something in it is not acceptable, perhaps one document.
	requestRejected
	requestRefused
)

// classifyRequest judges the status of a whole request and the type of its error.
func classifyRequest(status int, kind string) requestClass {
	switch {
	case status >= 200 && status < 300:
		return requestDone
	case kind == "cluster_block_exception" && status < 500:
		return requestRefused
	case status == http.StatusRequestEntityTooLarge:
		return requestSplit
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		return requestTransient
	case status == http.StatusBadRequest && kind != "" && !configurationTypes[kind]:
		return requestRejected
	}
	return requestRefused
}

// connectionError makes an error of the transport a refusal when only a person can mend it: a certificate that isn't
// trusted, TLS spoken to a port that has none.
func connectionError(err error) error {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		record       tls.RecordHeaderError
	)
	wrapped := fmt.Errorf("asking Elasticsearch: %w", err)
	if errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &hostname) || errors.As(err, &record) {
		return &refusedError{wrapped}
	}
	return wrapped
}
