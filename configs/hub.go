package configs

import (
	"strings"

	"skerry.dev/sync/spec"
)

// HubConfig is hub.yaml. Dangers stand in the sample file.
type HubConfig struct {
	// Environment is a label in logs and reports.
	Environment string `yaml:"environment" env:"ML_ENVIRONMENT" default:"production" check:"production|staging|development|test"`
	// Listen is the address of the REST API and the page.
	Listen string `yaml:"listen" default:"127.0.0.1:8000"`
	// TLSCert and TLSKey are PEM files for API and devices; both empty: no TLS.
	TLSCert string `yaml:"tls_cert"`
	TLSKey  string `yaml:"tls_key"`
	// NATSListen is the address for devices; port -1 lets the system choose.
	NATSListen string `yaml:"nats_listen" default:"127.0.0.1:4222"`
	// NATSURLs are what devices receive; empty: the address listened on.
	NATSURLs []string `yaml:"nats_urls"`
	// DataDir holds what is not elsewhere: hub.db, jetstream/, blobs/, lake/, tuf/, keys/.
	DataDir string `yaml:"data_dir" default:"skerry-hub-data"`
	// DatabaseURL is postgres://… or a SQLite file; empty: hub.db in DataDir.
	DatabaseURL string `yaml:"database_url" env:"DATABASE_URL"`
	// BlobURL is s3://… or a folder; empty: DataDir.
	BlobURL string `yaml:"blob_url" env:"MODEL_STORAGE_PATH"`

	Auth      HubAuth    `yaml:"auth"`
	Training  HubTrain   `yaml:"training"`
	Ingest    HubIngest  `yaml:"ingest"`
	Streams   HubStreams `yaml:"streams"`
	Lake      HubLake    `yaml:"lake"`
	Disk      HubDisk    `yaml:"disk"`
	Keep      HubKeep    `yaml:"keep"`
	Inference Inference  `yaml:"inference"`

	Caching    Caching       `yaml:"caching"`
	Streaming  HubStreaming  `yaml:"streaming"`
	Monitoring HubMonitoring `yaml:"monitoring"`

	Log Log `yaml:"log"`
}

// HubAuth defines who may use the API, and how much.
type HubAuth struct {
	// JWTSecret signs logins; empty: a random one kept in DataDir/keys.
	JWTSecret string `yaml:"jwt_secret" env:"JWT_SECRET" secret:"true"`
	// APIKeyRequired is always so.
	APIKeyRequired bool `yaml:"api_key_required" env:"API_KEY_REQUIRED" default:"true" unbuilt:"the API requires a login or a token in any case"`
	// LoginTTL is the life of a login.
	LoginTTL spec.Duration `yaml:"login_ttl" default:"8h" check:"1m..30d"`
	// RateLimit bounds the requests of one caller. Logins and enrolments are limited in any case.
	RateLimit bool `yaml:"rate_limit" env:"RATE_LIMIT_ENABLED" default:"true"`
	// RequestsPerSecond is that limit, with bursts of four times as many.
	RequestsPerSecond float64 `default:"50"`
}

// HubTrain reports whether the hub trains by itself.
type HubTrain struct {
	Auto bool `yaml:"auto" env:"ENABLE_AUTO_RETRAINING" default:"true"`
	// Threads of one model selection.
	Threads int `yaml:"threads" env:"ML_WORKERS" default:"2" check:"1..1024"`
}

// HubIngest bounds what waits to be stored.
type HubIngest struct {
	// Queue bounds the messages that wait for a transaction. What comes while it is full is sent
	// back with a time to come again.
	Queue spec.Bytes `yaml:"queue" default:"64MiB" check:"1MiB..64GiB"`
	// DeviceQuota is how much one device may send a day; each chunk counts 1 KiB at least.
	DeviceQuota spec.Bytes `yaml:"device_quota" default:"4GiB" check:"1MiB..1048576GiB"`
	// BatchDelay is how long a transaction waits for more chunks.
	BatchDelay spec.Duration `default:"20ms"`
	// BatchChunks is about the most chunks of one transaction.
	BatchChunks int `default:"1024"`
}

// HubStreams are keys of a time when telemetry waited in streams of the hub.
type HubStreams struct {
	Telemetry spec.Bytes `yaml:"telemetry" retired:"telemetry no longer waits in a stream, see ingest.queue"`
	Events    spec.Bytes `yaml:"events" retired:"events no longer wait in a stream, see ingest.queue"`
}

// HubDisk bounds how full the disk may become.
type HubDisk struct {
	// MinFree is how much must be free for telemetry to be taken; of a small disk a tenth.
	MinFree spec.Bytes `yaml:"min_free" default:"512MiB" check:"0..1048576GiB"`
}

// HubKeep defines how long the hub keeps what grows.
type HubKeep struct {
	// Events are events, alarms and changes of links; of one device at most 20,000 in any case.
	Events spec.Duration `yaml:"events" default:"90d" check:"1d..36500d"`
	// Rejected are messages that could not be read or contradict stored ones.
	Rejected spec.Duration `yaml:"rejected" default:"30d" check:"1d..36500d"`
	// Gaps are declared losses.
	Gaps spec.Duration `yaml:"gaps" default:"730d" check:"1d..36500d"`
	// Lake is everything in the lake, by event time; 0 is for ever.
	Lake spec.Duration `yaml:"lake" check:"0s..36500d"`
	// Models are artifacts of models that nothing has needed for so long; 0 is for ever. The newest ten
	// of each task stay, and the record of every model.
	Models spec.Duration `yaml:"models" default:"365d" check:"0s..36500d"`
	// Audit is the audit chain, which can be verified from its cut on; 0 is for ever.
	Audit spec.Duration `yaml:"audit" check:"0s..36500d"`
}

// HubLake defines when telemetry moves to the lake.
type HubLake struct {
	// CompactEvery is how often the compactor looks, CompactAge how long a chunk may wait.
	CompactEvery spec.Duration `yaml:"compact_every" default:"1m" check:"1s..1d"`
	CompactAge   spec.Duration `yaml:"compact_age" default:"15m" check:"1s..30d"`
	// LabelAge is how long matured predictions stay in SQL for charts; the lake keeps them.
	LabelAge spec.Duration `yaml:"label_age" default:"90d" check:"1d..3650d"`
	// Grace is how long files that were merged, or became too old, stay in the store: a database put
	// back from a backup that is no older finds every file that it names.
	Grace spec.Duration `yaml:"grace" default:"7d" check:"0s..3650d"`
	// FileBytes is the size from which on a file of the lake is not merged with others.
	FileBytes spec.Bytes `default:"16MiB"`
	// MinBytes moves the chunks of a class and site as soon as they have this many bytes.
	MinBytes spec.Bytes `default:"4MiB"`
	// BatchChunks bounds the chunks of one move, and with them the memory.
	BatchChunks int `default:"2000"`
	// LedgerAge is how long the ledger keeps the hash of every chunk before it merges neighbours.
	LedgerAge spec.Duration `default:"7d"`
}

func (c *HubConfig) check(bad report) {
	checkListen(bad, "listen", c.Listen)
	checkListen(bad, "nats_listen", c.NATSListen)
	if (c.TLSCert == "") != (c.TLSKey == "") {
		bad("tls_key", "TLS needs both tls_cert and tls_key")
	}
	checkNATS(bad, "nats_urls", c.NATSURLs)
	if c.DataDir == "" {
		bad("data_dir", "must name a directory")
	}
	if c.DatabaseURL != "" && !oneOf(strings.SplitN(c.DatabaseURL, ":", 2)[0], "sqlite", "postgres", "postgresql") && strings.Contains(c.DatabaseURL, "://") {
		bad("database_url", "must be a path of a SQLite file, sqlite:<path> or postgres://…; empty is SQLite in data_dir")
	}
	if c.BlobURL != "" && strings.Contains(c.BlobURL, "://") && !oneOf(strings.SplitN(c.BlobURL, ":", 2)[0], "file", "s3") {
		bad("blob_url", "must be a directory, file://… or s3://…; empty is a folder in data_dir")
	}
	if s := c.Auth.JWTSecret; s != "" && len(s) < 32 && !isPlaceholder(s) {
		bad("auth.jwt_secret", "must have at least 32 characters; empty makes one in data_dir/keys")
	}
	c.Caching.check(bad)
	c.Monitoring.check(bad)
	c.Log.check(bad)
}
