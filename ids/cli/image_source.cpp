// SPDX-License-Identifier: Apache-2.0
#include "image_source.hpp"

#include <cstring>

#include "image/image_transport.hpp"

namespace sevmon::cli {

common::Result<std::unique_ptr<ids::Channel>> open_image(
    const std::string& path, const ids::ChannelOptions& options,
    const std::function<common::Result<void>()>& opened) {
  auto connection = proxy::connect_image(path, proxy::ImageFormat::kAuto, opened);
  if (!connection) return connection.error();
  auto key = ids::Key::parse(connection->key_file);
  explicit_bzero(connection->key_file.data(), connection->key_file.size());
  if (!key) return key.error();
  return ids::Channel::open(std::move(connection->transport), std::move(*key), options);
}

}  // namespace sevmon::cli
