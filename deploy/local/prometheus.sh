# shellcheck shell=bash
# Prometheus from Debian, to check that our metrics can be scraped and our rules hold. SHARDLINE_PROMETHEUS_CONFIG
# names its configuration; paths inside it are relative to that file.

prometheus_setting() { echo SHARDLINE_TEST_PROMETHEUS; }
prometheus_port() { port 90; }
prometheus_address() { echo "http://127.0.0.1:$(prometheus_port)"; }
prometheus_patience() { echo 60; }

prometheus_installed() { has_all prometheus promtool; }

prometheus_install() {
    apt_install prometheus
    disable_unit prometheus
}

prometheus_launch() {
    local config=${SHARDLINE_PROMETHEUS_CONFIG:-} folder
    [[ -n $config ]] || fail "prometheus: set SHARDLINE_PROMETHEUS_CONFIG to a configuration file"
    config=$(realpath "$config")
    folder=$(folder_of prometheus)
    mkdir -p "$folder"
    promtool check config "$config" >"$folder/log" 2>&1 ||
        { show_log prometheus && fail "prometheus: $config is not a valid configuration"; }
    launch prometheus prometheus --config.file="$config" --storage.tsdb.path="$folder/data" \
        --web.listen-address="127.0.0.1:$(prometheus_port)" --log.level=warn
}

prometheus_ready() {
    timeout 5 promtool query instant "$(prometheus_address)" 'vector(1)'
}
