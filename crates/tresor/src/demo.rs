//! x
pub(crate) async fn demo() -> Result<(), crate::Failure> {
    Ok(())
}
