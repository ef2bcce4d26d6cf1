//! Mutual TLS on a real stream between a router and a shard-node, with certificates made here.

use crate::fixture::{Echo, any_port, call, connected, serve};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use shardline_wire::call::ShardConnect;
use shardline_wire::internal::Call;
use shardline_wire::link::{Secret, ShardLinks, TLS_NAME, Tls, TlsError, Trust};
use shardline_wire::refusal::Code;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// An authority of our own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What it gives out: a certificate and its key.
struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    fn pair(&self, name: &str) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.0).expect("a signature");
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Of a process that shows `pair` and believes this authority.
    fn tls(&self, pair: &Pair) -> Result<Tls, TlsError> {
        Tls::parse(&self.0.pem(), &pair.certificate, &pair.key)
    }

    fn trust(&self, pair: &Pair) -> Trust {
        with(self.tls(pair).expect("certificates that fit"))
    }
}

fn with(tls: Tls) -> Trust {
    Trust::new(Secret::new("s").expect("plain text"), Some(tls))
}

/// A shard-node of `ours`.
async fn shard_of(ours: &Authority) -> (SocketAddr, CancellationToken) {
    let trust = ours.trust(&ours.pair(TLS_NAME));
    serve(any_port(), Arc::new(Echo::default()), trust).await
}

/// Tries for long enough that a stream would stand.
async fn is_refused(trust: Trust, address: SocketAddr) {
    let shard = ShardLinks::new(trust).open(&address.to_string());
    for _ in 0..30 {
        let refused = call(shard.as_ref(), 1).await.map_err(|refusal| refusal.code());
        assert_eq!(refused, Err(Code::TryAgain), "it has no stream");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_of_one_cluster_talk() {
    let ours = Authority::new("ours");
    let (address, _stop) = shard_of(&ours).await;
    let shard = ShardLinks::new(ours.trust(&ours.pair(TLS_NAME))).open(&address.to_string());
    connected(shard.as_ref()).await;
    assert!(call(shard.as_ref(), 7).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_authoritys_certificate_is_refused_by_either_end() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let (address, _stop) = shard_of(&ours).await;
    // It would believe the shard-node, which does not believe it.
    is_refused(ours.trust(&others.pair(TLS_NAME)), address).await;
    // The shard-node would believe it, but it does not believe the shard-node.
    is_refused(others.trust(&ours.pair(TLS_NAME)), address).await;
    let friend = ShardLinks::new(ours.trust(&ours.pair(TLS_NAME))).open(&address.to_string());
    connected(friend.as_ref()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_name_is_not_believed() {
    let ours = Authority::new("ours");
    let trust = ours.trust(&ours.pair("something-else"));
    let (address, _stop) = serve(any_port(), Arc::new(Echo::default()), trust).await;
    is_refused(ours.trust(&ours.pair(TLS_NAME)), address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_there_is_no_stream() {
    use shardline_wire::internal::shard_service_client::ShardServiceClient;
    use shardline_wire::internal::{ShardRequest, ToShard};
    use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

    let ours = Authority::new("ours");
    let (address, _stop) = shard_of(&ours).await;
    // Believes the shard-node and knows the secret, but shows no certificate.
    let config = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(ours.0.pem()))
        .domain_name(TLS_NAME);
    let endpoint = Endpoint::from_shared(format!("https://{address}")).expect("an address");
    let endpoint = endpoint.tls_config(config).expect("a certificate");
    let answered = async {
        // In TLS 1.3 the refusal may come only with the first answer.
        let mut client = ShardServiceClient::new(endpoint.connect().await.ok()?);
        let call = Call { entity: 1, ..Call::default() };
        let asked = ToShard { requests: vec![ShardRequest { id: 1, call: Some(call) }] };
        let mut request = tonic::Request::new(tokio_stream::iter([asked]));
        request.metadata_mut().insert("authorization", "Bearer s".parse().ok()?);
        client.link(request).await.ok()?.into_inner().message().await.ok()?
    };
    assert_eq!(answered.await, None);
    // Nor in plain text.
    is_refused(crate::fixture::trust("s"), address).await;
}

#[test]
fn what_is_wrong_with_the_files_is_said() {
    let ours = Authority::new("ours");
    let (one, other) = (ours.pair(TLS_NAME), ours.pair(TLS_NAME));
    let authority = ours.0.pem();
    let check = |authority: &str, certificate: &str, key: &str| {
        Tls::parse(authority, certificate, key).expect_err("it cannot be used")
    };
    assert_eq!(check("", &one.certificate, &one.key), TlsError::Authority);
    assert_eq!(check(&authority, &one.key, &one.key), TlsError::Certificate);
    assert_eq!(check(&authority, &one.certificate, &one.certificate), TlsError::Key);
    let error = check(&authority, &one.certificate, &other.key);
    assert!(matches!(error, TlsError::Pair(_)), "another's key: {error}");
    let broken = authority.replace("MII", "???");
    assert!(matches!(check(&broken, &one.certificate, &one.key), TlsError::Pair(_)));
}
