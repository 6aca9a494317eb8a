// A stand-in for a MongoDB server, for tests on machines without one: mongo-java-server
// over a file of H2. It knows nothing of what the tests do with it. What it does otherwise
// than a MongoDB server stands in ../../README.md.

import de.bwaldvogel.mongo.MongoCollection;
import de.bwaldvogel.mongo.MongoDatabase;
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.AbstractCursor;
import de.bwaldvogel.mongo.backend.CollectionOptions;
import de.bwaldvogel.mongo.backend.CursorRegistry;
import de.bwaldvogel.mongo.backend.Index;
import de.bwaldvogel.mongo.backend.QueryResult;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.backend.h2.H2Collection;
import de.bwaldvogel.mongo.backend.h2.H2Database;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.exception.MongoServerError;
import de.bwaldvogel.mongo.wire.bson.BsonEncoder;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.h2.mvstore.Cursor;
import org.h2.mvstore.MVMap;
import org.h2.mvstore.MVStore;

/** Listens until its standard input closes or it gets a SIGTERM, and closes its file then. */
public final class Main {
    private Main() {}

    /** Arguments: address:port to listen on, and the file that holds the data. */
    public static void main(String[] args) throws IOException {
        if (args.length != 2) {
            System.err.println("arguments: ADDRESS:PORT FILE");
            System.exit(64);
        }
        System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "error");
        int colon = args[0].lastIndexOf(':');
        Backend backend = new Backend(args[1]);
        MongoServer server = new MongoServer(backend);
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        server.bind(args[0].substring(0, colon), Integer.parseInt(args[0].substring(colon + 1)));
        System.out.println("listening on " + args[0]);
        while (System.in.read() >= 0) {
            // Whoever started it has something to say, and is there.
        }
        System.exit(0);
    }
}

/** The oldest server that the tests' driver talks to. */
final class Version implements MongoVersion {
    @Override
    public List<Integer> getVersionArray() {
        return List.of(5, 0, 0);
    }

    @Override
    public int getWireVersion() {
        return 13;
    }
}

/**
 * One command at a time, and none is answered before the operating system has what it wrote:
 * a SIGKILL loses nothing that was acknowledged. Documents change in place while they are in
 * the store, so neither a commit nor an encoder may see one while a command runs.
 */
final class Backend extends H2Backend {
    /** As long as old pages stay readable, in milliseconds; it bounds how the file grows. */
    private static final int RETENTION = 5_000;
    /** The exit status of a MongoDB server whose storage failed. */
    private static final int STORAGE_FAILED = 14;
    /** Documents that a server sends first. */
    private static final int FIRST_BATCH = 101;
    /** What is said of a collection that is not there. */
    private static final Set<String> ABSENT =
            Set.of("ns not found", "source namespace does not exist");

    Backend(String file) {
        super(new MVStore.Builder().fileName(file).autoCommitDisabled().open());
        getMvStore().setRetentionTime(RETENTION);
        version(new Version());
    }

    @Override
    protected MongoDatabase openOrCreateDatabase(String name) {
        return new Database(name);
    }

    @Override
    public synchronized Document handleMessage(MongoMessage message) {
        try {
            return super.handleMessage(message).cloneDeeply();
        } catch (MongoServerError e) {
            throw e;
        } catch (RuntimeException e) {
            // The driver takes no error without a code.
            throw ABSENT.contains(String.valueOf(e.getMessage()))
                    ? new MongoServerError(26, "NamespaceNotFound", "ns not found")
                    : new MongoServerError(1, "InternalError", e.toString(), e);
        } finally {
            store();
        }
    }

    /** A server that cannot write ends; nothing that it could not write is acknowledged. */
    private void store() {
        try {
            commit();
        } finally {
            if (getMvStore().isClosed()) {
                Runtime.getRuntime().halt(STORAGE_FAILED);
            }
        }
    }

    @Override
    public synchronized Document handleCommand(
            Channel channel, String database, String command, Document query) {
        switch (command.toLowerCase()) {
            case "hello":
            case "ismaster":
                return super.handleCommand(channel, database, "ismaster", query)
                        .append("helloOk", true)
                        .append("maxWriteBatchSize", 100_000)
                        .append("isWritablePrimary", true);
            case "find":
                return find(channel, database, query);
            case "insert":
                return insert(channel, database, query);
            case "update":
                return update(channel, database, query);
            default:
                return super.handleCommand(channel, database, command, query);
        }
    }

    /** The first batch has a size if none is asked for; a single one leaves no cursor. */
    private Document find(Channel channel, String database, Document query) {
        query.putIfAbsent("batchSize", FIRST_BATCH);
        Document reply = super.handleCommand(channel, database, "find", query);
        Document cursor = (Document) reply.get("cursor");
        if (Boolean.TRUE.equals(query.get("singleBatch"))) {
            closeCursors(List.of(((Number) cursor.put("id", 0L)).longValue()));
        }
        return reply;
    }

    /** What is missing is true, and `n` counts the documents that are in. */
    private Document insert(Channel channel, String database, Document query) {
        boolean ordered = ordered(query);
        query.put("ordered", ordered);
        Document reply = super.handleCommand(channel, database, "insert", query);
        List<Document> errors = documents(reply, "writeErrors");
        if (!errors.isEmpty()) {
            int asked = documents(query, "documents").size();
            int in = ordered ? (int) errors.get(0).get("index") : asked - errors.size();
            reply.put("n", in);
        }
        return reply;
    }

    /** Ordered statements end with the first that fails. */
    private Document update(Channel channel, String database, Document query) {
        List<Document> statements = documents(query, "updates");
        if (!ordered(query) || statements.size() < 2) {
            return super.handleCommand(channel, database, "update", query);
        }
        int n = 0;
        int modified = 0;
        List<Document> upserted = new ArrayList<>();
        List<Document> errors = new ArrayList<>();
        for (int i = 0; i < statements.size() && errors.isEmpty(); i++) {
            Document one = query.clone().append("updates", List.of(statements.get(i)));
            Document reply = super.handleCommand(channel, database, "update", one);
            n += (int) reply.get("n");
            modified += (int) reply.get("nModified");
            for (Document upsert : documents(reply, "upserted")) {
                upserted.add(upsert.append("index", i));
            }
            for (Document error : documents(reply, "writeErrors")) {
                errors.add(error.append("index", i));
            }
        }
        Document reply = new Document("n", n).append("nModified", modified);
        if (!upserted.isEmpty()) {
            reply.append("upserted", upserted);
        }
        if (!errors.isEmpty()) {
            reply.append("writeErrors", errors);
        }
        return reply.append("ok", 1.0);
    }

    private static boolean ordered(Document query) {
        return !Boolean.FALSE.equals(query.get("ordered"));
    }

    @SuppressWarnings("unchecked")
    private static List<Document> documents(Document from, String field) {
        return (List<Document>) from.getOrDefault(field, List.of());
    }

    /** Inside of the backend: the parent's constructor opens collections already. */
    private final class Database extends H2Database {
        Database(String name) {
            super(name, getMvStore(), getCursorRegistry());
        }

        /** The maps of the parent, under its names. */
        @Override
        protected MongoCollection<Object> openOrCreateCollection(
                String name, CollectionOptions options) {
            String full = getFullCollectionNamespace(name);
            MVMap<Object, Document> data = getMvStore().openMap("databases." + full);
            MVMap<String, Object> meta = getMvStore().openMap("meta." + full);
            return new Collection(this, name, options, data, meta, getCursorRegistry());
        }

        /** The parent forgets that the data and the indexes have a name, too. */
        @Override
        public void moveCollection(MongoDatabase from, MongoCollection<?> collection, String name) {
            MVStore store = getMvStore();
            String old = collection.getFullName();
            super.moveCollection(from, collection, name);
            String now = getFullCollectionNamespace(name);
            for (String prefix : List.of("databases.", "meta.")) {
                store.removeMap(prefix + now);
                store.renameMap(store.openMap(prefix + old), prefix + now);
            }
            String indexes = old + "._index_";
            for (String map : Set.copyOf(store.getMapNames())) {
                if (map.startsWith(indexes)) {
                    store.renameMap(store.openMap(map), now + map.substring(old.length()));
                }
            }
        }
    }
}

/** A collection that finds by `_id` without a look at everything, in the order of `_id` too. */
final class Collection extends H2Collection {
    private static final Set<Class<?>> ORDERED = Set.of(Integer.class, Long.class, String.class);

    private final MVMap<Object, Document> data;

    Collection(
            MongoDatabase database,
            String name,
            CollectionOptions options,
            MVMap<Object, Document> data,
            MVMap<String, Object> meta,
            CursorRegistry cursors) {
        super(database, name, options, data, meta, cursors);
        this.data = data;
    }

    @Override
    protected QueryResult queryDocuments(
            Document query, Document order, int skip, int limit, int batch, Document fields) {
        Iterable<Object> known = byId(query);
        if (known != null) {
            return matchDocuments(query, known, order, skip, limit, batch, fields);
        }
        int direction = direction(order);
        Object bounds = query.get("_id");
        Object from = bound(bounds, "$gte", "$gt");
        Object to = bound(bounds, "$lte", "$lt");
        boolean useful = from != null || to != null || direction != 0;
        if (!useful || !ofOneType(from, to)) {
            return super.queryDocuments(query, order, skip, limit, batch, fields);
        }
        Cursor<Object, Document> range =
                direction < 0 ? data.cursor(to, from, true) : data.cursor(from, to, false);
        Stream<Document> found =
                StreamSupport.stream(((Iterable<Object>) () -> range).spliterator(), false)
                        .map(this::getDocument);
        Document rest = direction == 0 ? order : null;
        return matchDocumentsFromStream(found, query, rest, skip, limit, batch, fields);
    }

    /** Batch 0 is a question within a command, which wants everything. */
    @Override
    protected QueryResult createQueryResult(List<Document> found, int batch) {
        if (batch == 0 || found.isEmpty()) {
            return super.createQueryResult(found, batch);
        }
        Pages pages = new Pages(cursorRegistry.generateCursorId(), found);
        List<Document> first = pages.takeDocuments(batch);
        if (pages.isEmpty()) {
            return new QueryResult(first);
        }
        cursorRegistry.add(pages);
        return new QueryResult(first, pages);
    }

    /** Where those with the asked `_id` are; null if it is not asked for. */
    private Iterable<Object> byId(Document query) {
        if (!query.containsKey("_id")) {
            return null;
        }
        Document asked = new Document("_id", query.get("_id"));
        for (Index<Object> index : getIndexes()) {
            if (index.canHandle(asked)) {
                return index.getPositions(asked);
            }
        }
        return null;
    }

    /** 1 or -1 if the order is that of `_id` alone. */
    private static int direction(Document order) {
        if (order == null || !order.keySet().equals(Set.of("_id"))) {
            return 0;
        }
        return ((Number) order.get("_id")).intValue() < 0 ? -1 : 1;
    }

    private static Object bound(Object bounds, String including, String excluding) {
        if (!(bounds instanceof Document)) {
            return null;
        }
        Map<String, Object> operators = (Document) bounds;
        return operators.getOrDefault(including, operators.get(excluding));
    }

    /** The map orders by type first, so one type at both ends is the type of all. */
    private boolean ofOneType(Object... bounds) {
        if (data.isEmpty() || !ORDERED.contains(data.firstKey().getClass())) {
            return false;
        }
        Class<?> type = data.firstKey().getClass();
        boolean one = data.lastKey().getClass() == type;
        for (Object bound : bounds) {
            one &= bound == null || bound.getClass() == type;
        }
        return one;
    }
}

/** A result in replies of a size that the driver takes. */
final class Pages extends AbstractCursor {
    private static final int LARGEST = 16 * 1024 * 1024;

    private List<Document> rest;

    Pages(long id, List<Document> all) {
        super(id);
        rest = all;
    }

    @Override
    public boolean isEmpty() {
        return rest.isEmpty();
    }

    /** At most as many as asked for; 0 asks for all. */
    @Override
    public List<Document> takeDocuments(int asked) {
        int count = 0;
        long size = 0;
        while (count < rest.size() && (asked == 0 || count < asked)) {
            size += size(rest.get(count));
            if (count > 0 && size > LARGEST) {
                break;
            }
            count++;
        }
        List<Document> taken = rest.subList(0, count);
        rest = rest.subList(count, rest.size());
        return taken;
    }

    private static int size(Document document) {
        ByteBuf buffer = Unpooled.buffer();
        BsonEncoder.encodeDocument(document, buffer);
        return buffer.writerIndex();
    }
}
