//! Locks that are taken whether or not somebody panicked with them. A panic over one answer must not end what has nothing
//! to do with it, and what a lock guards here is whole at any time: it is changed in one go.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Takes a mutex.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a lock to read.
pub fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a lock to write.
pub fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_somebody_panicked_with_is_taken() {
        let (mutex, both) = (Mutex::new(1), RwLock::new(2));
        let panicked = std::thread::scope(|scope| {
            let panics = || {
                let _guards = (lock(&mutex), write(&both));
                panic!("with both of them");
            };
            scope.spawn(panics).join().is_err()
        });
        assert!(panicked && mutex.is_poisoned() && both.is_poisoned());
        *write(&both) += *lock(&mutex);
        assert_eq!(*read(&both), 3);
    }
}
