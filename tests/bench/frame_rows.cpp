// SPDX-License-Identifier: Apache-2.0
#include <openssl/evp.h>

#include <memory>

#include "bench/bench_agent.hpp"
#include "bench/openssl_gcm.hpp"
#include "bench/page_rows.hpp"

namespace sevmon::bench {
namespace {

using tests::reference::PkeyContextPtr;
using tests::reference::PkeyPtr;

PkeyPtr make_key() {
  PkeyPtr key{EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"), EVP_PKEY_free};
  require(key != nullptr, "X25519 key");
  return key;
}

void derive(EVP_PKEY* own, EVP_PKEY* peer) {
  const PkeyContextPtr context{EVP_PKEY_CTX_new(own, nullptr), EVP_PKEY_CTX_free};
  std::array<std::uint8_t, 32> secret;
  std::size_t bytes = secret.size();
  require(EVP_PKEY_derive_init(context.get()) == 1 &&
              EVP_PKEY_derive_set_peer(context.get(), peer) == 1 &&
              EVP_PKEY_derive(context.get(), secret.data(), &bytes) == 1,
          "X25519");
}

/// A row that makes `calls` calls of `one()`, which returns its nanoseconds.
template <typename One>
Row call_row(std::string id, std::string title, unsigned calls, std::vector<std::string> baselines,
             One one) {
  Row row{.id = std::move(id),
          .title = std::move(title),
          .unit = "call",
          .baselines = std::move(baselines)};
  row.units = calls;
  row.run = [=]() mutable {
    std::uint64_t ns = 0;
    for (unsigned i = 0; i < calls; ++i) ns += one();
    return ns;
  };
  return row;
}

/// The same for what needs no preparation: one measurement around them all.
template <typename One>
Row tight_row(std::string id, std::string title, unsigned calls, std::vector<std::string> baselines,
              One one) {
  auto row = call_row(std::move(id), std::move(title), calls, std::move(baselines),
                      [] { return std::uint64_t{0}; });
  row.run = [=]() mutable {
    return time_of([&] {
      for (unsigned i = 0; i < calls; ++i) one();
    });
  };
  return row;
}

void add_handshakes(Rounds& rounds, const std::shared_ptr<BenchAgent>& agent, unsigned calls) {
  rounds.add(tight_row(
      "x25519", "OpenSSL X25519: one derivation", calls, {},
      [own = std::make_shared<PkeyPtr>(make_key()), peer = std::make_shared<PkeyPtr>(make_key())] {
        derive(own->get(), peer->get());
      }));
  rounds.add(tight_row(
      "x25519_pair", "OpenSSL X25519: fresh key and one derivation", calls, {},
      [peer = std::make_shared<PkeyPtr>(make_key())] { derive(make_key().get(), peer->get()); }));
  rounds.add(call_row("handshake", "handshake (INITIATE to ACCEPT)", calls,
                      {"x25519", "x25519_pair"}, [agent] {
                        const auto initiator = agent->make_initiator();
                        int rc = 0;
                        const auto ns = time_of([&] { rc = agent->call(initiator.frame()); });
                        require(rc == SEVMON_HANDSHAKE_FRAME_BYTES, "no ACCEPT");
                        return ns;
                      }));
  auto forged = agent->make_initiator().frame();
  forged.back() ^= 1;
  rounds.add(tight_row(
      "forged_initiate", "refuse a forged INITIATE", calls, {"x25519"},
      [agent, forged] { require(agent->call(forged) == -EBADMSG, "a forgery was taken"); }));
  rounds.add(tight_row("hello", "HELLO to CHALLENGE", calls, {},
                       [agent, hello = tests::hello_frame(kIdsId)] {
                         require(agent->call(hello) > 0, "no CHALLENGE");
                       }));
}

/// Each run in a session of its own: they end after 180 s.
void add_forged_requests(Rounds& rounds, const std::shared_ptr<BenchAgent>& agent, unsigned calls) {
  auto row = call_row("forged_request", "refuse a forged REQUEST", calls, {"openssl_open"},
                      [] { return std::uint64_t{0}; });
  row.run = [=] {
    const auto session = agent->open_session(SEVMON_CLASS_15_PAGES);
    auto forged = session.request(1, tests::request_body({}));
    forged.back() ^= 1;
    return time_of([&] {
      for (unsigned i = 0; i < calls; ++i)
        require(agent->call(forged) == -EBADMSG, "a forgery was taken");
    });
  };
  const Bytes cipher(SEVMON_REQUEST_BODY_BYTES + SEVMON_TAG_BYTES);
  rounds.add(tight_row("openssl_open", "OpenSSL EVP AES-256-GCM, 976 bytes, wrong tag", calls, {},
                       [cipher, gcm = std::make_shared<OpenSslGcm>(false), out = cipher]() mutable {
                         require(!gcm->open(cipher.data(), SEVMON_REQUEST_BODY_BYTES, out.data()),
                                 "a forgery was taken");
                       }));
  rounds.add(std::move(row));
}

}  // namespace

void add_frame_rows(Rounds& rounds, BenchHost& host, unsigned calls) {
  auto agent = std::make_shared<BenchAgent>(host);
  add_handshakes(rounds, agent, calls);
  add_forged_requests(rounds, std::make_shared<BenchAgent>(host), calls);
}

}  // namespace sevmon::bench
