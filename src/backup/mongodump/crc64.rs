//! The checksum of a collection in an archive: CRC-64 with ECMA-182's polynomial, reflected, as Go's `hash/crc64` computes it
//! and xz does.

/// ECMA-182's polynomial, its bits in reverse.
const POLYNOMIAL: u64 = 0xC96C_5795_D787_0F42;

const TABLE: [u64; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
};

/// A checksum on its way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Crc64(u64);

impl Crc64 {
    /// Takes some more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0 = !bytes.iter().fold(!self.0, |crc, byte| TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8));
    }

    /// The checksum of all bytes so far.
    pub fn sum(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_known_one() {
        // The check value of CRC-64/XZ in the catalogue of parametrised CRC algorithms.
        let mut crc = Crc64::default();
        crc.update(b"12345");
        crc.update(b"6789");
        assert_eq!(crc.sum(), 0x995D_C9BB_DF19_39FA);
        assert_eq!(Crc64::default().sum(), 0);
    }
}
