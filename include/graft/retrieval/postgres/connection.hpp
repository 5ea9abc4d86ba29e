#pragma once

#include <libpq-fe.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/retrieval/postgres/address.hpp"

namespace graft::detail {

/// Appends `value` in network byte order, as every number travels.
template <class Integer>
void put_integer(std::string& out, Integer value) {
  for (int shift = 8 * static_cast<int>(sizeof value) - 8; shift >= 0; shift -= 8)
    out += static_cast<char>(value >> shift & 0xff);
}

template <class Integer>
Integer get_integer(const char* bytes) {
  std::uint64_t out = 0;
  for (std::size_t i = 0; i < sizeof(Integer); ++i) out = out << 8 | static_cast<unsigned char>(bytes[i]);
  return static_cast<Integer>(out);
}

/// The bytes of a pgvector value: numbers, zero, float32 each.
inline void put_vector(std::string& out, std::span<const float> numbers) {
  put_integer(out, static_cast<std::uint16_t>(numbers.size()));
  put_integer(out, std::uint16_t{0});
  for (const float x : numbers) put_integer(out, std::bit_cast<std::uint32_t>(x));
}

/// Values for $1, $2 ... of a statement, in the order they are added. They travel beside the statement, never in it.
class PostgresParameters {
 public:
  template <class... Values>
  explicit PostgresParameters(const Values&... values) {
    (add(values), ...);
  }

  void add(std::int64_t value) {
    std::string bytes;
    put_integer(bytes, value);
    add_binary(20 /* int8 */, std::move(bytes));
  }
  void add(int value) { add(static_cast<std::int64_t>(value)); }
  void add(std::size_t value) { add(static_cast<std::int64_t>(value)); }
  void add(std::string_view text) { add_binary(25 /* text */, std::string(text)); }
  void add(const std::string& text) { add(std::string_view(text)); }
  void add(const char* text) { add(std::string_view(text)); }
  void add(std::span<const std::byte> bytes) {
    add_binary(17 /* bytea */, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
  void add(std::span<const std::int64_t> values) {
    add_array(1016, 20, values.size(), [&](std::string& out, std::size_t i) { put_integer(out, values[i]); });
  }
  void add(const std::vector<std::int64_t>& values) { add(std::span(values)); }
  void add_texts(std::span<const std::string> values) { add_strings(1009, 25, values); }
  void add_bytes(std::span<const std::string> values) { add_strings(1001, 17, values); }
  /// numeric[], each written in decimal digits; an empty one is NULL.
  void add_numbers(std::span<const std::string> values) {
    std::string text = "{";
    for (std::size_t i = 0; i < values.size(); ++i)
      text += (i ? "," : "") + (values[i].empty() ? std::string("NULL") : values[i]);
    types_.push_back(1231 /* numeric[] */);
    formats_.push_back(0);
    values_.push_back(text + "}");
  }
  /// A pgvector value; the statement says $n::vector, since the type's number differs from server to server.
  void add_vector(std::span<const float> numbers) {
    std::string bytes;
    put_vector(bytes, numbers);
    add_binary(0, std::move(bytes));
  }

  int count() const { return static_cast<int>(values_.size()); }
  const Oid* types() const { return types_.data(); }
  const int* formats() const { return formats_.data(); }
  std::vector<const char*> values() const {
    std::vector<const char*> out;
    for (const std::string& value : values_) out.push_back(value.c_str());
    return out;
  }
  std::vector<int> lengths() const {
    std::vector<int> out;
    for (const std::string& value : values_) out.push_back(static_cast<int>(value.size()));
    return out;
  }

 private:
  void add_binary(Oid type, std::string bytes) {
    types_.push_back(type);
    formats_.push_back(1);
    values_.push_back(std::move(bytes));
  }
  template <class Put>
  void add_array(Oid type, Oid element, std::size_t count, const Put& put) {
    std::string out;
    for (const std::int32_t head : {count > 0 ? 1 : 0, 0, static_cast<std::int32_t>(element)})
      put_integer(out, head);  // dimensions, whether NULLs occur, type of the elements
    if (count > 0) put_integer(out, static_cast<std::int32_t>(count)), put_integer(out, std::int32_t{1});
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t at = out.size();
      put_integer(out, std::int32_t{0});
      put(out, i);
      std::string size;
      put_integer(size, static_cast<std::int32_t>(out.size() - at - 4));
      out.replace(at, 4, size);
    }
    add_binary(type, std::move(out));
  }
  void add_strings(Oid type, Oid element, std::span<const std::string> values) {
    add_array(type, element, values.size(), [&](std::string& out, std::size_t i) { out += values[i]; });
  }

  std::vector<Oid> types_;
  std::vector<int> formats_;
  std::vector<std::string> values_;
};

/// What a statement gave, in binary.
class PostgresRows {
 public:
  explicit PostgresRows(PGresult* result) : result_(result) {}
  const PGresult* get() const { return result_.get(); }

  std::size_t size() const { return static_cast<std::size_t>(PQntuples(result_.get())); }
  bool empty() const { return size() == 0; }
  bool is_null(std::size_t row, int column) const { return PQgetisnull(result_.get(), at(row), column) != 0; }
  std::int64_t integer(std::size_t row, int column) const {
    const std::string_view value = bytes(row, column);
    return value.size() == 8 ? get_integer<std::int64_t>(value.data()) : 0;
  }
  double real(std::size_t row, int column) const { return std::bit_cast<double>(integer(row, column)); }
  bool truth(std::size_t row, int column) const { return bytes(row, column) == std::string_view("\1", 1); }
  std::string text(std::size_t row, int column) const { return std::string(bytes(row, column)); }
  std::string_view bytes(std::size_t row, int column) const {
    return {PQgetvalue(result_.get(), at(row), column),
            static_cast<std::size_t>(PQgetlength(result_.get(), at(row), column))};
  }

 private:
  static int at(std::size_t row) { return static_cast<int>(row); }
  struct Clear {
    void operator()(PGresult* result) const { PQclear(result); }
  };
  std::unique_ptr<PGresult, Clear> result_;
};

/// One connection to the server. Used by one thread at a time.
class PostgresConnection {
 public:
  /// `part` names what is used there, for messages.
  PostgresConnection(const PostgresAddress& address, const std::string& part) : connection_(address.connect()) {
    if (!connection_) throw std::bad_alloc();
    if (PQstatus(get()) != CONNECTION_OK)
      throw FileError(message(address.name(), ": cannot be connected to: ", postgres_reason(PQerrorMessage(get())),
                              "; check host, port, database, user and password"));
    name_ = address.name_of(get()) + ", " + part;
    PQsetNoticeProcessor(
        get(), [](void*, const char*) {}, nullptr);
  }

  PGconn* get() const { return connection_.get(); }
  const std::string& name() const { return name_; }
  bool alive() const { return PQstatus(get()) == CONNECTION_OK; }
  bool in_transaction() const { return PQtransactionStatus(get()) == PQTRANS_INTRANS; }
  bool idle() const { return PQtransactionStatus(get()) == PQTRANS_IDLE; }

  /// Runs statements without parameters or results.
  void run(const std::string& sql) {
    flush();
    PostgresRows(checked(PQexec(get(), sql.c_str())));
  }

  /// Runs a statement, which the server keeps planned for the next time.
  template <class... Values>
  PostgresRows rows(const char* sql, const Values&... values) {
    return rows_with(sql, PostgresParameters(values...));
  }
  PostgresRows rows_with(const char* sql, PostgresParameters parameters) {
    later(sql, std::move(parameters));
    return flush();
  }
  /// The same for a statement that is made for this one time.
  PostgresRows once(const std::string& sql, const PostgresParameters& parameters = PostgresParameters()) {
    flush();
    return PostgresRows(
        checked(PQexecParams(get(), sql.c_str(), parameters.count(), parameters.types(), parameters.values().data(),
                             parameters.lengths().data(), parameters.formats(), 1)));
  }

  /// Puts a statement off until the next that is run, or flush(): they go to the server together, in one way there and
  /// back.
  void later(const char* sql, PostgresParameters parameters = PostgresParameters()) {
    waiting_.emplace_back(sql, std::move(parameters));
  }

  /// Runs what was put off. Gives the rows of the last statement; throws the error of the first that failed, after
  /// which none was run.
  PostgresRows flush() {
    std::vector<std::pair<const char*, PostgresParameters>> statements;
    statements.swap(waiting_);
    for (const auto& [sql, parameters] : statements) prepare(sql, parameters);
    if (statements.empty()) return PostgresRows(nullptr);
    if (statements.size() == 1) {
      const PostgresParameters& only = statements[0].second;
      return PostgresRows(checked(PQexecPrepared(get(), kept_[statements[0].first].c_str(), only.count(),
                                                 only.values().data(), only.lengths().data(), only.formats(), 1)));
    }
    PQenterPipelineMode(get());
    for (const auto& [sql, parameters] : statements)
      PQsendQueryPrepared(get(), kept_[sql].c_str(), parameters.count(), parameters.values().data(),
                          parameters.lengths().data(), parameters.formats(), 1);
    PQpipelineSync(get());
    std::vector<PostgresRows> results;
    while (results.size() < statements.size() && alive()) {
      results.emplace_back(PQgetResult(get()));
      if (results.back().get()) PQclear(PQgetResult(get()));  // the null that ends it
    }
    if (alive()) PQclear(PQgetResult(get()));  // the end of the pipeline
    PQexitPipelineMode(get());
    for (const PostgresRows& result : results)
      if (!succeeded(result.get())) fail(result.get());
    if (!alive()) fail(nullptr);
    return std::move(results.back());
  }

  /// Drops what was put off.
  void forget() { waiting_.clear(); }

  /// Sends `parts` to a COPY ... FROM STDIN.
  void copy_in(const std::string& sql, std::span<const std::string> parts) {
    flush();
    PostgresRows(checked(PQexec(get(), sql.c_str())));
    for (const std::string& part : parts)
      if (PQputCopyData(get(), part.data(), static_cast<int>(part.size())) != 1) break;
    PQputCopyEnd(get(), nullptr);
    PGresult* result = PQgetResult(get());
    while (PGresult* more = PQgetResult(get())) PQclear(more);
    PostgresRows(checked(result));
  }

 private:
  void prepare(const char* sql, const PostgresParameters& parameters) {
    std::string& name = kept_[sql];
    if (!name.empty()) return;
    const std::string fresh = message("graft", kept_.size());
    PostgresRows(checked(PQprepare(get(), fresh.c_str(), sql, parameters.count(), parameters.types())));
    name = fresh;
  }

  static bool succeeded(const PGresult* result) {
    const ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_COPY_IN ||
           status == PGRES_EMPTY_QUERY;
  }
  /// `result`, or the error of graft that belongs to it.
  PGresult* checked(PGresult* result) {
    if (succeeded(result)) return result;
    const PostgresRows held(result);
    fail(result);
  }
  [[noreturn]] void fail(const PGresult* result) const {
    const char* field = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : nullptr;
    const char* primary = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : nullptr;
    throw_postgres_error(name_, alive(), field ? field : "",
                         primary ? primary : postgres_reason(PQerrorMessage(get())));
  }

  struct Close {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  std::unique_ptr<PGconn, Close> connection_;
  std::string name_;
  std::unordered_map<std::string, std::string> kept_;  // statement -> its name at the server
  std::vector<std::pair<const char*, PostgresParameters>> waiting_;
};

}  // namespace graft::detail
