//! The most of everything that a message may have. Each limit has an [`ErrorKind`] of its own.
//!
//! They bound the work for one message and let offsets be 16 bits wide. Real calls stay far below.
//!
//! [`ErrorKind`]: crate::ErrorKind

/// Octets of a message, body and all: what one UDP datagram can hold. Refused as `MessageTooLong`.
pub const MESSAGE_BYTES_MAX: usize = 65_535;
/// Octets of the start line and all header lines. Refused as `SectionTooLong`.
pub const SECTION_BYTES_MAX: usize = 32_768;
/// Octets of the start line. Refused as `StartLineTooLong`.
pub const START_LINE_BYTES_MAX: usize = 4_096;
/// Octets of one header line with its folds. Refused as `HeaderTooLong`.
pub const HEADER_BYTES_MAX: usize = 8_192;
/// Octets of a header name. Refused as `HeaderNameTooLong`.
pub const HEADER_NAME_BYTES_MAX: usize = 256;
/// Header lines. Refused as `TooManyHeaders`.
pub const HEADERS_MAX: usize = 250;
/// Comma-separated values over all lines of one list header. Refused as `TooManyValues`.
pub const VALUES_MAX: usize = 128;
/// Via values: one more hop than most networks allow. Refused as `TooManyVias`.
pub const VIAS_MAX: usize = 128;
/// Parameters of one URI or of one header value. Refused as `TooManyParams`.
pub const PARAMS_MAX: usize = 64;
/// Digits of a number, zeros in front counted. Refused as `TooManyDigits`.
pub const DIGITS_MAX: usize = 24;
/// Octets of a method. Refused as `MethodTooLong`.
pub const METHOD_BYTES_MAX: usize = 64;
/// Octets of a URI. Refused as `UriTooLong`.
pub const URI_BYTES_MAX: usize = 2_048;
/// Octets of a host name. Refused as `HostTooLong`.
pub const HOST_BYTES_MAX: usize = 255;
/// Octets of a Call-ID. Refused as `CallIdTooLong`.
pub const CALL_ID_BYTES_MAX: usize = 512;
/// Octets of a From or To tag. Refused as `TagTooLong`.
pub const TAG_BYTES_MAX: usize = 512;
/// Octets of a Via branch. Refused as `BranchTooLong`.
pub const BRANCH_BYTES_MAX: usize = 512;
/// The largest CSeq number (RFC 3261 §8.1.1.5: less than 2^31).
pub const CSEQ_MAX: u32 = (1 << 31) - 1;
