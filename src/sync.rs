//! Locks that ignore poison. A panic over one host's answer must not stop other units, and no critical section of this
//! crate leaves its data half-changed.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

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
