//! What can go wrong with images.

/// What can go wrong with images.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No image with this digest.
    #[error("no image `{digest}` here")]
    NotHere {
        /// Which one.
        digest: String,
    },
}
