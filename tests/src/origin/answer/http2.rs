//! An answer in frames.

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::Response;

use super::{Answer, Asked, Body, Piece, Tap};

impl Answer {
    /// Sends it as it is: a length that is not the body's too. Bytes in place of a response become a reset.
    pub(in crate::origin) async fn play_framed(
        self,
        mut respond: SendResponse<Bytes>,
        asked: Asked,
    ) -> Result<(), h2::Error> {
        if let Some(gate) = &self.gate {
            gate.wait().await;
        }
        let mut head = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            head = head.header(name, value);
        }
        if let (Body::Whole(body), None) = (&self.body, self.declared_length()) {
            head = head.header("content-length", body.len());
        }
        let head = head.body(()).expect("the fields of a story are valid");
        let is_over = asked == Asked::Head || self.status == 304;
        match self.body {
            Body::Raw(_) => respond.send_reset(Reason::INTERNAL_ERROR),
            _ if is_over => drop(respond.send_response(head, true)?),
            Body::Whole(body) => respond.send_response(head, false)?.send_data(body, true)?,
            Body::Streamed(tap) => tap.play_framed(respond.send_response(head, false)?).await?,
        }
        Ok(())
    }
}

impl Tap {
    async fn play_framed(&self, mut stream: SendStream<Bytes>) -> Result<(), h2::Error> {
        for index in 0.. {
            match self.piece(index).await {
                Piece::Bytes(bytes) => stream.send_data(bytes, false)?,
                Piece::End => return stream.send_data(Bytes::new(), true),
                Piece::Cut => {
                    stream.send_reset(Reason::INTERNAL_ERROR);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
