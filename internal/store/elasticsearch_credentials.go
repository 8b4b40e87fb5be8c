package store

import (
	"fmt"
	"net/http"
	"os"
	"strings"

	"kubescribe/internal/stream"
)

func (c ElasticsearchConfig) validateCredentials() []error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	both := func(key string, value stream.Secret, file string) bool {
		if value != "" && file != "" {
			bad("elasticsearch.%s and elasticsearch.%s_file are both set: keep one", key, key)
		}
		return value != "" || file != ""
	}
	password := both("password", c.Password, c.PasswordFile)
	key, bearer := both("api_key", c.APIKey, c.APIKeyFile), both("bearer_token", c.BearerToken, c.BearerTokenFile)
	if key && (password || c.Username != "") {
		bad("elasticsearch has an API key and a username or password: keep one kind")
	}
	if bearer && (key || password || c.Username != "") {
		bad("elasticsearch has a bearer token and other credentials: keep one kind")
	}
	if password != (c.Username != "") {
		bad("elasticsearch.username and a password belong together: set both or neither")
	}
	if len(errs) == 0 {
		if _, err := c.authorization(); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// authorization is the value of the header of the same name; "" when there are no credentials.
func (c ElasticsearchConfig) authorization() (string, error) {
	switch {
	case c.APIKey != "" || c.APIKeyFile != "":
		key, err := secret("elasticsearch.api_key_file", c.APIKey, c.APIKeyFile)
		return "ApiKey " + key, err
	case c.BearerToken != "" || c.BearerTokenFile != "":
		token, err := secret("elasticsearch.bearer_token_file", c.BearerToken, c.BearerTokenFile)
		return "Bearer " + token, err
	case c.Username != "":
		password, err := secret("elasticsearch.password_file", c.Password, c.PasswordFile)
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(c.Username, password)
		return r.Header.Get("Authorization"), err
	}
	return "", nil
}

func secret(key string, value stream.Secret, path string) (string, error) {
	if path == "" {
		return string(value), nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", key, err)
	}
	return strings.TrimSpace(string(b)), nil
}
