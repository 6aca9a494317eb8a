//! Compiles `proto/` without a system `protoc`, and leaves the descriptor set
//! for programs in other languages in `OUT_DIR` (see `rustchat proto`).

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = ["client.proto", "log.proto", "discovery.proto", "peer.proto", "link.proto"];
    let descriptors = protox::compile(files, ["proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("rustchat.fds"), prost::Message::encode_to_vec(&descriptors))?;
    prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;
    Ok(())
}
