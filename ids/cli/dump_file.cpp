// SPDX-License-Identifier: Apache-2.0
#include "dump_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace sevmon::cli {

using common::Error;
using common::ErrorCode;
using common::Result;

namespace {

// What an interruption costs at most: seconds of a disk's time.
constexpr std::uint64_t kSyncBytes = 256ULL << 20;
constexpr std::uint64_t kMaxStateBytes = 1ULL << 30;

Error usage(std::string text) {
  return {ErrorCode::kUsage, std::move(text)};
}

int sync_directory(std::string path) {
  const auto slash = path.rfind('/');
  const int fd = open(slash == path.npos ? "." : path.substr(0, slash + 1).c_str(),
                      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  // Some file systems do not sync directories.
  const int error = fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
  close(fd);
  return error;
}

bool exists(const std::string& path) {
  struct stat status;
  return lstat(path.c_str(), &status) == 0;
}

/// @return errno. Somebody's file that came into being meanwhile is as good as one that was there.
int name(const std::string& part, const std::string& path, bool replace) {
  if (renameat2(AT_FDCWD, part.c_str(), AT_FDCWD, path.c_str(), replace ? 0 : RENAME_NOREPLACE) ==
      0)
    return 0;
  if (replace || (errno != EINVAL && errno != ENOSYS)) return errno;
  // NFS and others cannot do both in one.
  if (exists(path)) return EEXIST;
  return rename(part.c_str(), path.c_str()) == 0 ? 0 : errno;
}

/// A target's memory is nobody else's business: a file that somebody else made, or has by another
/// name, is no place for it.
bool is_ours(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
         status.st_nlink == 1;
}

/// The child: one byte says "name it". Answers with errno. Without it, everything stays.
[[noreturn]] void commit_when_told(int socket, const std::string& part, const std::string& state,
                                   const std::string& path, bool replace) {
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGTERM, SIG_IGN);
  std::signal(SIGHUP, SIG_IGN);
  char told = 0;
  ssize_t got = 0;
  do {
    got = read(socket, &told, 1);
  } while (got < 0 && errno == EINTR);
  if (got != 1) _exit(0);
  int error = name(part, path, replace);
  if (error == 0) {
    unlink(state.c_str());
    error = sync_directory(path);
  }
  _exit(write(socket, &error, sizeof(error)) == sizeof(error) ? 0 : 1);
}

}  // namespace

Error DumpFile::failed(const std::string& path, const char* what, int error) const {
  return {ErrorCode::kIo, path + ' ' + what + ": " + std::strerror(error)};
}

Result<std::unique_ptr<DumpFile>> DumpFile::open(const std::string& path, Begin begin,
                                                 bool replace) {
  std::unique_ptr<DumpFile> file{new DumpFile};
  file->path_ = path;
  file->replace_ = replace;
  if (file->is_stream()) {
    if (isatty(STDOUT_FILENO) == 1) return usage("standard output is a terminal");
    if (begin == Begin::kResume) return usage("what went to standard output cannot be resumed");
    file->fd_ = dup(STDOUT_FILENO);
    if (file->fd_ < 0) return file->failed("standard output", "cannot be written", errno);
    return file;
  }
  struct stat status;
  if (stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
    return usage(path + ": no regular file");
  if (exists(path) && !replace) return usage(path + ": exists; --force replaces it");
  file->part_ = path + ".part";
  file->state_path_ = file->part_ + ".state";
  if (auto opened = file->open_part(begin); !opened) return opened.error();
  if (begin == Begin::kResume)
    if (auto read = file->read_state(); !read) return read.error();
  if (auto started = file->start_committer(); !started) return started.error();
  return file;
}

Result<void> DumpFile::open_part(Begin begin) {
  if (begin == Begin::kResume && (!exists(part_) || !exists(state_path_)))
    return usage(part_ + ": there is nothing to resume");
  if (begin == Begin::kNew && (exists(part_) || exists(state_path_)))
    return usage(part_ + ": an unfinished dump; --resume goes on with it, --force begins anew");
  // What came into being since we looked is somebody else's.
  const int create = begin == Begin::kResume ? 0
                     : begin == Begin::kNew  ? O_CREAT | O_EXCL
                                             : O_CREAT;
  const auto open_one = [&](const std::string& path, int& fd) -> Result<void> {
    // O_NONBLOCK: a FIFO is refused, not waited for.
    fd = ::open(path.c_str(), O_RDWR | create | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0) return failed(path, "cannot be opened", errno);
    if (!is_ours(fd)) return usage(path + ": no regular file of this user's alone");
    // Of some file systems all files have all modes.
    static_cast<void>(fchmod(fd, 0600));
    return {};
  };
  if (auto ok = open_one(part_, fd_); !ok) return ok;
  if (flock(fd_, LOCK_EX | LOCK_NB) != 0)
    return Error{ErrorCode::kIo, part_ + ": another dump writes it"};
  return open_one(state_path_, state_fd_);
}

Result<void> DumpFile::read_state() {
  struct stat status;
  if (fstat(state_fd_, &status) != 0) return failed(state_path_, "cannot be read", errno);
  if (static_cast<std::uint64_t>(status.st_size) > kMaxStateBytes)
    return Error{ErrorCode::kTooLarge, state_path_};
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    const auto got =
        pread(state_fd_, text.data() + have, text.size() - have, static_cast<off_t>(have));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return failed(state_path_, "cannot be read", got < 0 ? errno : EIO);
    have += static_cast<std::size_t>(got);
  }
  auto state = parse_state(text);
  if (!state) return Error{state.error().code, state_path_ + ": " + state.error().detail};
  if (fstat(fd_, &status) != 0) return failed(part_, "cannot be read", errno);
  auto& reached = state->progress.file_bytes;
  reached = std::max(reached, header_bytes(state->plan));
  bytes_ = synced_ = reached;
  if (static_cast<std::uint64_t>(status.st_size) < bytes_)
    return Error{ErrorCode::kMismatch, part_ + ": shorter than its state says"};
  // What was written after the last line that holds, and a line that does not.
  if (ftruncate(fd_, static_cast<off_t>(bytes_)) != 0 ||
      ftruncate(state_fd_, static_cast<off_t>(state->state_bytes)) != 0)
    return failed(part_, "cannot be cut", errno);
  if (lseek(fd_, 0, SEEK_END) < 0 || lseek(state_fd_, 0, SEEK_END) < 0)
    return failed(part_, "cannot be written", errno);
  resumed_ = *std::move(state);
  return {};
}

Result<void> DumpFile::start_committer() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return failed(part_, "cannot be created", errno);
  std::fflush(nullptr);  // or both would print it
  child_ = fork();
  if (child_ == 0) {
    close(ends[0]);
    close(fd_);  // and with it nothing of the lock: that is the parent's, too
    close(state_fd_);
    commit_when_told(ends[1], part_, state_path_, path_, replace_);
  }
  const int error = errno;
  close(ends[1]);
  to_child_ = ends[0];
  return child_ > 0 ? Result<void>{} : failed(part_, "cannot be created", error);
}

DumpFile::~DumpFile() {
  for (const int fd : {fd_, state_fd_, to_child_})
    if (fd >= 0) close(fd);
  if (child_ > 0)
    while (waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
    }
}

Result<void> DumpFile::begin(const DumpPlan& plan) {
  if (is_stream()) return {};
  // Only now is what an older dump left worth nothing.
  if (ftruncate(state_fd_, 0) != 0 || ftruncate(fd_, 0) != 0)
    return failed(part_, "cannot be cut", errno);
  bytes_ = synced_ = header_bytes(plan);
  if (ftruncate(fd_, static_cast<off_t>(bytes_)) != 0 || lseek(fd_, 0, SEEK_END) < 0)
    return failed(part_, "cannot be written", errno);
  pending_ = encode(plan);
  return sync();
}

Result<void> DumpFile::write_all(int fd, const std::string& path,
                                 std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failed(path, "cannot be written", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> DumpFile::append(std::span<const std::byte> bytes) {
  if (auto ok = write_all(fd_, is_stream() ? "standard output" : part_, bytes); !ok) return ok;
  bytes_ += bytes.size();
  return {};
}

Result<void> DumpFile::done(const DumpStep& step) {
  if (is_stream()) return {};
  pending_ += encode(step);
  return bytes_ - synced_ < kSyncBytes ? Result<void>{} : sync();
}

Result<void> DumpFile::sync() {
  if (is_stream() || pending_.empty()) return {};
  // Linux says once that pages were lost: the next fsync() succeeds, and they are not there.
  if (is_lost_) return failed(part_, "cannot be written", EIO);
  if (fsync(fd_) != 0) {
    is_lost_ = true;
    return failed(part_, "cannot be written", errno);
  }
  if (auto ok = write_all(state_fd_, state_path_, std::as_bytes(std::span{pending_})); !ok)
    return ok;
  if (fsync(state_fd_) != 0) return failed(state_path_, "cannot be written", errno);
  pending_.clear();
  synced_ = bytes_;
  return {};
}

Result<void> DumpFile::finish(std::span<const std::byte> header) {
  if (is_stream()) return {};
  if (auto ok = sync(); !ok) return ok;
  if (!header.empty()) {
    if (lseek(fd_, 0, SEEK_SET) < 0) return failed(part_, "cannot be written", errno);
    if (auto ok = write_all(fd_, part_, header); !ok) return ok;
  }
  if (fsync(fd_) != 0) return failed(part_, "cannot be written", errno);
  int error = EIO;
  const char now = 'c';
  if (::write(to_child_, &now, 1) != 1 || read(to_child_, &error, sizeof(error)) != sizeof(error))
    error = EIO;
  return error == 0 ? Result<void>{} : failed(path_, "cannot be given its name", error);
}

}  // namespace sevmon::cli
