package main

import (
	"errors"
	"fmt"
	"time"

	"kubescribe/alerter"
	"kubescribe/enricher"
	"kubescribe/explorer"
	"kubescribe/indexer"
	"kubescribe/internal/daemon"
	"kubescribe/internal/store"
	"kubescribe/internal/stream"
	"kubescribe/producer"
	"kubescribe/schemas"
)

// config is the one configuration of all services; each reads its own sections. Its keys' documentation is generated from
// the comments of these fields into docs/reference/config.md.
type config struct {
	// Cluster is the name of the cluster that producer and enricher work beside. It is part of topic names: lower-case
	// letters, digits and '-'.
	Cluster string `koanf:"cluster"`
	// Clusters are several clusters for one producer process, in place of Cluster. Their health and metrics carry the name.
	Clusters []clusterConfig `koanf:"clusters"`
	// ShutdownTimeout bounds the time between the signal to stop and the end of the process. Keep it below the pod's
	// terminationGracePeriodSeconds.
	ShutdownTimeout time.Duration             `koanf:"shutdown_timeout"`
	Log             daemon.LogConfig          `koanf:"log"`
	HTTP            daemon.HTTPConfig         `koanf:"http"`
	Kafka           stream.Config             `koanf:"kafka"`
	Topics          topicsConfig              `koanf:"topics"`
	Kubernetes      kubernetesConfig          `koanf:"kubernetes"`
	Elasticsearch   store.ElasticsearchConfig `koanf:"elasticsearch"`
	SQLite          store.SQLiteConfig        `koanf:"sqlite"`
	Producer        producer.Config           `koanf:"producer"`
	Enricher        enricher.Config           `koanf:"enricher"`
	Indexer         indexer.Config            `koanf:"indexer"`
	Alerter         alerter.Config            `koanf:"alerter"`
	Explorer        explorer.Config           `koanf:"explorer"`
}

// topicsConfig is how `topics apply` creates topics.
type topicsConfig struct {
	// Partitions is the number of partitions of events, enriched and matches. Keyed topics must not grow later, so choose
	// for the largest number of enrichers, indexers or matchers that you will want.
	Partitions int32 `koanf:"partitions"`
	// Replication is the replication factor. With 3, two replicas must have a record before it counts as written.
	Replication int16 `koanf:"replication"`
}

func defaultConfig() *config {
	return &config{
		ShutdownTimeout: 25 * time.Second,
		Log:             daemon.DefaultLog(),
		HTTP:            daemon.DefaultHTTP(),
		Kafka:           stream.Default(),
		Topics:          topicsConfig{Partitions: 6, Replication: 3},
		Elasticsearch:   store.DefaultElasticsearch(),
		SQLite:          store.DefaultSQLite(),
		Producer:        producer.Default(),
		Enricher:        enricher.Default(),
		Indexer:         indexer.Default(),
		Alerter:         alerter.Default(),
		Explorer:        explorer.Default(),
	}
}

// process are the settings that every service has.
func (c *config) process() daemon.ProcessConfig {
	return daemon.ProcessConfig{Log: c.Log, HTTP: c.HTTP, ShutdownTimeout: c.ShutdownTimeout}
}

func (c *config) topics() schemas.Topics { return schemas.Topics{Prefix: c.Kafka.TopicPrefix} }

func (c *config) validateCluster() error {
	if c.Cluster == "" {
		return errors.New("cluster is missing: name the cluster that this service works beside (cluster in the file, KUBESCRIBE_CLUSTER, or --cluster)")
	}
	if err := schemas.ValidateClusterName(c.Cluster); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	return nil
}

// Validate reports every problem at once.
func (c topicsConfig) Validate() error {
	var errs []error
	if c.Partitions < 1 || c.Partitions > 1000 {
		errs = append(errs, fmt.Errorf("topics.partitions: %d is not between 1 and 1000", c.Partitions))
	}
	if c.Replication < 1 || c.Replication > 7 {
		errs = append(errs, fmt.Errorf("topics.replication: %d is not between 1 and 7", c.Replication))
	}
	return errors.Join(errs...)
}
