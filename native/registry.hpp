// What is made by name: what the core has, which stays as it is, and what files of users add.
#pragma once
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

namespace rewirl {

template <class Factory>
class Registry {
 public:
  // Errors say: there is `article` `what` 'name' already, or: there is no `what` 'name'.
  Registry(std::string article, std::string what, std::map<std::string, Factory> own)
      : article_(std::move(article)), what_(std::move(what)), own_(std::move(own)), all_(own_) {}

  void add(const std::string& name, Factory make) {
    if (own_.count(name) > 0)
      throw std::invalid_argument("there is " + article_ + " " + what_ + " '" + name + "' already");
    const std::lock_guard<std::mutex> lock(mutex_);
    all_[name] = make;
  }

  Factory find(const std::string& name) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = all_.find(name);
    if (found == all_.end()) throw std::invalid_argument("there is no " + what_ + " '" + name + "'");
    return found->second;
  }

 private:
  const std::string article_, what_;
  const std::map<std::string, Factory> own_;
  mutable std::mutex mutex_;
  std::map<std::string, Factory> all_;
};

}  // namespace rewirl
