//! Builds a tar stream. Pure.

/// Size of a header, and unit to which each file is padded.
const BLOCK_BYTES: usize = 512;

/// A stream that unpacks as the files `0`, `1` and so on, in this order. Every tar accepts such short names.
pub fn numbered<'a>(files: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut stream = Vec::new();
    for (number, content) in files.into_iter().enumerate() {
        stream.extend(header(&number.to_string(), content.len()));
        stream.extend(content);
        stream.resize(stream.len().next_multiple_of(BLOCK_BYTES), 0);
    }
    stream.resize(stream.len() + 2 * BLOCK_BYTES, 0);
    stream
}

/// The ustar header of a regular file with mode 0600.
fn header(name: &str, size: usize) -> [u8; BLOCK_BYTES] {
    let mut header = [0; BLOCK_BYTES];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000600");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    // The checksum counts its own field as spaces.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\u{0}00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\u{0} ").as_bytes());
    header
}
