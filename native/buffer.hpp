// Memory aligned to cache lines, shared with the NumPy views of it: a view keeps its memory alive.
#pragma once
#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <utility>

namespace rewirl {

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t n) : size_(n) {
    if (n == 0) return;
    if (n > std::numeric_limits<size_t>::max() / 2 / sizeof(T)) throw std::bad_alloc();  // the bytes would be few again
    void* p = ::operator new(n * sizeof(T), std::align_val_t{64});
    std::memset(p, 0, n * sizeof(T));
    data_ = std::shared_ptr<T>(static_cast<T*>(p), [](T* q) { ::operator delete(q, std::align_val_t{64}); });
  }
  // The first n numbers of another buffer's memory.
  Buffer(std::shared_ptr<T> data, size_t n) : data_(std::move(data)), size_(n) {}
  T* data() const { return data_.get(); }
  size_t size() const { return size_; }
  T& operator[](size_t i) const { return data_.get()[i]; }
  T* begin() const { return data(); }
  T* end() const { return data() + size_; }
  std::shared_ptr<T> share() const { return data_; }

 private:
  std::shared_ptr<T> data_;
  size_t size_ = 0;
};

}  // namespace rewirl
