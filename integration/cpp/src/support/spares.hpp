// SPDX-License-Identifier: BSD-3-Clause
// Objects that are kept between uses: each call takes one of its own and gives it back, so that their memory stays.
#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace fastcalo::core {

template <class T>
class Spares {
  public:
    // The object that was given back last; null where there is none. Any number of threads may call.
    [[nodiscard]] std::unique_ptr<T> take() {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (spare_.empty()) return nullptr;
        std::unique_ptr<T> object = std::move(spare_.back());
        spare_.pop_back();
        return object;
    }
    void give(std::unique_ptr<T> object) {
        const std::lock_guard<std::mutex> lock(mutex_);
        spare_.push_back(std::move(object));
    }

  private:
    std::mutex mutex_;
    std::vector<std::unique_ptr<T>> spare_;
};

}  // namespace fastcalo::core
