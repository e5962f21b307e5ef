//! Bytes as a test wants them on the wire.

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// Sends all of it, now. A write alone may leave it in the buffers of TLS, when the socket or the task's turn is used
/// up, and nothing brings it on its way if the test goes on to something else.
///
/// # Errors
/// When the connection is gone.
pub async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}
