//! Invented people, streets and remarks, in the languages of the branches. Nobody and no place here exists; phone
//! numbers begin with zeros, which no telephone network dials, and e-mail goes to example.com.

/// A country's stock of names, places and remarks.
pub(super) struct Folk {
    pub(super) first_names: &'static [&'static str],
    pub(super) last_names: &'static [&'static str],
    pub(super) streets: &'static [&'static str],
    pub(super) districts: &'static [&'static str],
    /// Remarks for the kitchen.
    pub(super) order_comments: &'static [&'static str],
    /// Remarks for the courier.
    pub(super) delivery_comments: &'static [&'static str],
    /// Remarks on one line of the cart.
    pub(super) item_comments: &'static [&'static str],
    pub(super) phone_prefix: &'static str,
}

/// One for each country, in the order of [`super::world::COUNTRIES`].
pub(super) static FOLKS: [Folk; 8] = [
    Folk {
        first_names: &["Bagas", "Citra", "Dewi", "Raka", "Wulan", "Satria", "Ayu Lestari"],
        last_names: &["Purnama", "Senjakala", "Wirabumi", "Langitbiru", "", "Kertarasa"],
        streets: &[
            "Jl. Melati Fiksi No. 12",
            "Jl. Awan Putih VII/3",
            "Gg. Kancil Kecil 45B",
            "Perumahan Bumi Khayal Blok C-9",
        ],
        districts: &[
            "Kec. Angan Raya, Kota Cendana 00001",
            "Kel. Pelangi, Kota Samudra Baru 00017",
            "Kota Bukit Hening 00023",
        ],
        order_comments: &[
            "Tolong sambalnya dipisah ya, terima kasih 🙏",
            "Jangan pakai MSG",
            "Kuah & mi dipisah, jangan sampai \"lembek\"",
        ],
        delivery_comments: &[
            "Titip di pos satpam, bilang untuk Bu Citra (rumah pagar hijau)",
            "Belok kiri setelah warung pulsa, rumah no. 3 dari ujung",
            "Jangan dibel, bayi lagi tidur 😴",
        ],
        item_comments: &["tanpa bawang goreng", "pedas sekali!", "kecap manis banyak"],
        phone_prefix: "+62 000 555 01",
    },
    Folk {
        first_names: &["Jovelyn", "Mark Anthony", "Ma. Lourdes", "Renz", "Niño", "Althea"],
        last_names: &["Dimasalang", "Peñaflorida-Reyes", "Santos y Ilaw", "Batungbakal", "Ordoñez"],
        streets: &[
            "Blk 4 Lot 12 Sampaguita St., Phase 2",
            "Unit 15B Tala Tower, 8 Bituin Ave.",
            "#27 Kalye Mangga (beside the sari-sari store)",
        ],
        districts: &[
            "Brgy. Walang Hanggan, Lungsod ng Liwayway",
            "Brgy. San Kathang-Isip, Maharlika City",
            "Poblacion, Bayan ng Dapithapon",
        ],
        order_comments: &[
            "Pls separate the sauce, salamat po!",
            "Senior citizen discount, ID no. 00000",
            "Wag po lagyan ng sibuyas 🙏",
        ],
        delivery_comments: &[
            "Leave at the guardhouse, gate code is *0000#",
            "Katok na lang po, sira ang doorbell",
            "Landmark: blue gate across from the chapel",
        ],
        item_comments: &["extra gravy please", "no onions", "well done, please – not pink"],
        phone_prefix: "+63 000 555 01",
    },
    Folk {
        first_names: &["สมหญิง", "ณัฐวุฒิ", "กานดา", "ธีรภัทร", "พิมพ์ชนก", "ก้องภพ"],
        last_names: &["ดวงดาวงาม", "ใจสมมุติ", "ทองประเสริฐศรี", "วัฒนานิทาน"],
        streets: &["12/34 ซอยดอกไม้ 7 ถนนสายรุ้ง", "99/1 หมู่บ้านฟ้าใส ถนนจินตนาการ", "คอนโดเมฆขาว ชั้น 8 ห้อง 803"],
        districts: &["แขวงสมมุติ เขตเมืองฝัน 00001", "ต.นิทาน อ.เมืองทิวา 00022", "แขวงลมเย็น เขตธาราใหม่ 00014"],
        order_comments: &["ขอช้อนส้อมด้วยนะคะ ขอบคุณค่ะ 🙏", "ไม่ใส่ผักชี ไม่ใส่ผงชูรส", "แยกน้ำซุปกับเส้นด้วยครับ"],
        delivery_comments: &["ฝากไว้ที่ป้อมยามได้เลยค่ะ", "โทรหาก่อนถึง 5 นาที อย่ากดกริ่ง เด็กหลับ", "ตึก B ลิฟต์ฝั่งซ้าย ชั้น 8"],
        item_comments: &["ไม่ใส่น้ำตาล", "เผ็ดน้อยมาก ๆ", "ขอพริกน้ำปลาเพิ่ม"],
        phone_prefix: "+66 000 555 01",
    },
    Folk {
        first_names: &["Thị Hương", "Văn Đức", "Ngọc Ánh", "Quốc Bảo", "Thùy Dương", "Minh Khuê"],
        last_names: &["Nguyễn", "Trần", "Phạm Lê", "Võ", "Đặng Hoàng"],
        streets: &["12/5 đường Mây Trắng", "Hẻm 48 Hoa Giấy, nhà số 7", "Chung cư Cổ Tích, lầu 9, căn 904"],
        districts: &[
            "Phường Tưởng Tượng, Quận Bình Minh",
            "Xã Hư Cấu, Huyện Sông Mơ",
            "P. Ánh Trăng, TP. Cầu Vồng",
        ],
        order_comments: &[
            "Cho mình xin thêm rau sống và ớt tươi nha!",
            "Không hành, không ngò",
            "Giao trước 12 giờ trưa giúp em ạ 🙏",
        ],
        delivery_comments: &[
            "Gọi trước khi đến, đừng bấm chuông",
            "Gửi bảo vệ ở sảnh, ghi tên \"Hương\"",
            "Nhà cổng xanh đối diện quán tạp hóa",
        ],
        item_comments: &["ít ngọt", "nhiều nước béo", "không lấy giá"],
        phone_prefix: "+84 000 555 01",
    },
    Folk {
        first_names: &["Nur Aisyah", "Muhd. Hafizi", "Siew Ling", "Kavitha a/p", "Iskandar", "Mei Fong"],
        last_names: &["binti Ramlan Jaya", "bin Osman Khayali", "Tan-Bayangan", "Muthusamy", "Lim 林"],
        streets: &["No. 8, Jalan Cempaka 3/2", "A-12-03, Kondominium Awan", "Lot 27, Lorong Pelanduk"],
        districts: &[
            "Taman Khayalan, 00010 Bandar Purnama",
            "Kg. Angin Lalu, 00033 Pekan Senja",
            "Seksyen 0, 00001 Kota Rimba",
        ],
        order_comments: &[
            "Nak sambal lebih, terima kasih",
            "Tak nak timun & kacang",
            "Cutlery not needed, save the earth 🌏",
        ],
        delivery_comments: &[
            "Letak kat depan pintu, jangan tekan loceng",
            "Pass to guard at \"Pondok A\"",
            "Call me when you reach the lobby, lift needs card",
        ],
        item_comments: &["kurang manis", "pedas lebih", "bungkus asing-asing"],
        phone_prefix: "+60 000 555 01",
    },
    Folk {
        first_names: &["Wei Jie", "Priya", "Farhan", "Hui Min", "Zoë", "Darius"],
        last_names: &["Tan (陈)", "D'Souza-Lim", "s/o Rajagopal", "bte Yusof", "O'Farrell"],
        streets: &[
            "Blk 000 Fable Ave 3 #08-123",
            "7 Lorong Imaginari, #02-01",
            "The Storybook Residences, Tower 2 #15-07",
        ],
        districts: &["Singapore 000001", "Singapore 000042", "Singapore 000077"],
        order_comments: &[
            "Less oil less salt pls, for elderly",
            "No cutlery 🙅",
            "Allergic to peanuts!!! (\"severe\")",
        ],
        delivery_comments: &[
            "Leave at door & ring bell",
            "Drop off at Lobby C, not the carpark\nUnit is #08-123",
            "Pls don't tilt the soup 🥲",
        ],
        item_comments: &["no coriander", "chilli separate", "take away bag pls"],
        phone_prefix: "+65 000 555 01",
    },
    Folk {
        first_names: &["さくら", "健太郎", "美咲", "ハルカ", "大輔", "結衣"],
        last_names: &["架空", "物語野", "虹川", "空想寺", "夢乃森"],
        streets: &["夢見町1丁目2番3号", "虹ヶ丘4-5-6 メゾン空想 302号室", "大字物語 77番地"],
        districts: &["〒000-0001 架空県夢見市", "〒000-0017 幻想府虹ノ区", "〒000-0024 架空県星降町"],
        order_comments: &[
            "お箸は2膳お願いします。",
            "ネギ抜きでお願いします🙇",
            "スープと麺は別々の容器でお願いします",
        ],
        delivery_comments: &[
            "置き配でお願いします（玄関前）",
            "インターホンは鳴らさないでください。子どもが寝ています",
            "オートロックは302を呼び出してください",
        ],
        item_comments: &["わさび抜き", "ご飯少なめ", "大葉なしで"],
        phone_prefix: "+81 000 555 01",
    },
    Folk {
        first_names: &["怡君", "家豪", "淑芬", "宥廷", "雅婷", "子晴"],
        last_names: &["虛", "夢野", "雲", "歐陽", "司徒"],
        streets: &["彩虹路三段12號5樓之2", "幻想街88巷6弄7號", "故事大道一段101號B棟12樓"],
        districts: &["夢想市晴空區", "虛構縣童話鎮", "星河市月光區"],
        order_comments: &["麻煩不要香菜，謝謝🙏", "需要統一編號 00000000", "餐具一份，醬料另外放"],
        delivery_comments: &[
            "請放管理室，櫃檯代收",
            "電鈴壞了，到了請打電話",
            "B棟電梯上12樓，門口有紅色鞋櫃",
        ],
        item_comments: &["去冰半糖", "小辣不要蔥", "「特別」熟一點"],
        phone_prefix: "+886 000 555 01",
    },
];

/// Couriers and their plates; invented too.
pub(super) static RIDERS: [(&str, &str); 8] = [
    ("Joko Angkasa", "X 0000 FIK"),
    ("Jun-jun Bituin", "ZZZ 000"),
    ("ประยุทธ์ชัย สายฝัน", "0กข 000"),
    ("Lê Văn Gió", "00-X0 000.00"),
    ("Azlan Rimba", "XYZ 0000"),
    ("Uncle Seng", "FB 0000 X"),
    ("風間 走", "架空 あ 00-00"),
    ("陳快遞", "XXX-0000"),
];
